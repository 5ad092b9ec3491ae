package spec

import (
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// takeRest finds the kind of a check: the one key that is no field. A key that
// looks like a slip of a field is taken for that.
func (c *Check) takeRest(d *decoder, n *yaml.Node, name string, rest []entry) {
	fields := names(fieldsOf(reflect.TypeFor[Guardrail]()))
	var kinds []entry
	for _, e := range rest {
		if near := Suggest(e.key.Value, fields); near != "" {
			d.suggest(e.key, near, "unknown field %s%s", quote(e.key.Value), inside(name))
		} else {
			kinds = append(kinds, e)
		}
	}
	if len(kinds) > 1 {
		given := make([]string, len(kinds))
		for i, e := range kinds {
			given[i] = quote(e.key.Value)
		}
		d.fail(kinds[1].key, "an entry of %s has one kind, found %s", name, strings.Join(given, " and "))
	}
	if len(kinds) == 0 {
		d.fail(n, "an entry of %s needs a kind: one key that is no field, such as slo: NAME", name)
		return
	}
	c.Kind = kinds[0].key.Value
	c.Params.decodeNode(d, kinds[0].value, c.Kind)
}

// FromScalar reads the short form of a claim: only the defect's name.
func (p *Prove) FromScalar(text string) error {
	*p = Prove{Defect: text}
	return nil
}

// FromScalar reads the name of a switch.
func (c *Choice) FromScalar(text string) error {
	c.Name = text
	return nil
}

// ScalarDoc names the type for messages and schema.
func (Choice) ScalarDoc() (name, example, pattern string) {
	return "switch", "identity", patterns["name"].re.String()
}

// decodeNode takes one name as well as a list.
func (s *SwitchNames) decodeNode(d *decoder, n *yaml.Node, name string) {
	var names []string
	if n = resolve(n); n.Kind == yaml.ScalarNode && !isNull(n) {
		names = make([]string, 1)
		d.value(reflect.ValueOf(&names[0]).Elem(), n, name)
	} else {
		d.value(reflect.ValueOf(&names).Elem(), n, name)
	}
	*s = names
}

// decodeNode keeps edges in the order of the file.
func (es *Edges) decodeNode(d *decoder, n *yaml.Node, name string) {
	n = resolve(n)
	if isNull(n) {
		d.fail(n, "%sis empty: want %s", label(name), wanted(reflect.TypeFor[Edges]()))
		return
	}
	pairs, _ := d.entries(reflect.TypeFor[Edges](), n, name)
	seen := map[string]bool{}
	for _, p := range pairs {
		edge := d.edge(p)
		if edge.Caller != "" && seen[edge.Name()] {
			d.fail(p.key, "edge %s is given twice", quote(edge.Name()))
			continue
		}
		seen[edge.Name()] = true
		*es = append(*es, edge)
	}
}

// edge decodes one entry; where its key is no edge, Caller stays empty.
func (d *decoder) edge(e entry) Edge {
	name := e.key.Value
	caller, callee, err := SplitEdge(name)
	if err != nil {
		d.fail(e.key, "%v", err)
	} else {
		name = Edge{Caller: caller, Callee: callee}.Name()
	}
	var edge Edge
	d.value(reflect.ValueOf(&edge).Elem(), e.value, name)
	edge.Caller, edge.Callee, edge.Pos = caller, callee, d.pos(e.key)
	return edge
}

// SplitEdge takes "orders -> payments" apart; spaces do not matter.
func SplitEdge(text string) (caller, callee string, err error) {
	caller, callee, _ = strings.Cut(text, "->")
	caller, callee = strings.TrimSpace(caller), strings.TrimSpace(callee)
	name := patterns["name"].re
	if !name.MatchString(caller) || !name.MatchString(callee) {
		return "", "", fmt.Errorf("%s is not an edge: write caller -> callee", quote(text))
	}
	return caller, callee, nil
}
