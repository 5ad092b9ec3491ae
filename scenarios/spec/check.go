package spec

import (
	"fmt"
	"reflect"
	"slices"
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

// decodeNode keeps edges in the order of the file.
func (es *Edges) decodeNode(d *decoder, n *yaml.Node, name string) {
	n = resolve(n)
	if isNull(n) {
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: n.Line, Column: n.Column}
	}
	pairs, _ := d.entries(reflect.TypeFor[map[string]Edge](), n, name)
	out := make(Edges, 0, len(pairs))
	for _, p := range pairs {
		caller, callee, err := SplitEdge(p.key.Value)
		if err != nil {
			d.fail(p.key, "%v", err)
		}
		edge := Edge{}
		d.value(reflect.ValueOf(&edge).Elem(), p.value, caller+" -> "+callee)
		edge.Caller, edge.Callee, edge.Pos = caller, callee, d.pos(p.key)
		if slices.ContainsFunc(out, func(e Edge) bool { return e.Name() == edge.Name() }) {
			d.fail(p.key, "edge %s is given twice", quote(edge.Name()))
			continue
		}
		out = append(out, edge)
	}
	*es = out
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
