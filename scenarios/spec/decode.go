package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decoder fills Go values from YAML nodes and collects every mistake on the
// way; after a mistake it goes on with the next value.
type decoder struct {
	file     string
	problems Problems
}

// nodeDecoder is implemented by types of this package that have rules of
// their own.
type nodeDecoder interface {
	decodeNode(d *decoder, n *yaml.Node, name string)
}

// openStruct is implemented by structs that take keys which are no fields.
type openStruct interface {
	takeRest(d *decoder, n *yaml.Node, name string, rest []entry)
}

func (d *decoder) pos(n *yaml.Node) Pos { return Pos{d.file, n.Line, n.Column} }

func (d *decoder) fail(n *yaml.Node, format string, args ...any) {
	d.suggest(n, "", format, args...)
}

func (d *decoder) suggest(n *yaml.Node, suggestion, format string, args ...any) {
	d.problems = append(d.problems, Problem{Pos: d.pos(n), Msg: fmt.Sprintf(format, args...), Suggest: suggestion})
}

// label starts a message about the value of a key.
func label(name string) string {
	if name == "" {
		return ""
	}
	return name + ": "
}

// inside ends a message about a key of a mapping.
func inside(name string) string {
	if name == "" {
		return ""
	}
	return " in " + name
}

// value fills v, which must be addressable, from n.
func (d *decoder) value(v reflect.Value, n *yaml.Node, name string) {
	if custom, ok := v.Addr().Interface().(nodeDecoder); ok {
		custom.decodeNode(d, n, name)
		return
	}
	n = resolve(n)
	if isNull(n) {
		d.fail(n, "%sis empty: want %s", label(name), wanted(v.Type()))
		return
	}
	if s, ok := v.Addr().Interface().(Scalar); ok && (n.Kind == yaml.ScalarNode || !isMapping(v.Type())) {
		d.scalar(v, s, n, name)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		d.value(target.Elem(), n, name)
		v.Set(target)
	case reflect.Struct:
		d.structure(v, n, name)
	case reflect.Map:
		d.mapping(v, n, name)
	case reflect.Slice:
		d.list(v, n, name)
	default:
		d.basic(v, n, name)
	}
}

func (d *decoder) scalar(v reflect.Value, s Scalar, n *yaml.Node, name string) {
	if n.Kind != yaml.ScalarNode {
		d.wrongType(v.Type(), n, name)
		return
	}
	if err := s.FromScalar(n.Value); err != nil {
		d.fail(n, "%s%v", label(name), err)
	}
	if v.Kind() == reflect.Struct {
		d.setPlace(v, n, name)
	}
}

func (d *decoder) wrongType(t reflect.Type, n *yaml.Node, name string) {
	d.fail(n, "%swant %s, found %s", label(name), wanted(t), found(n))
}

// found says what a node is.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "the number " + n.Value
	case "!!bool":
		return n.Value
	default:
		return "the text " + quote(n.Value)
	}
}

func (d *decoder) list(v reflect.Value, n *yaml.Node, name string) {
	if n.Kind != yaml.SequenceNode {
		d.wrongType(v.Type(), n, name)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(out.Index(i), item, name)
	}
	v.Set(out)
}

func (d *decoder) mapping(v reflect.Value, n *yaml.Node, name string) {
	es, ok := d.entries(v.Type(), n, name)
	if !ok {
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(es))
	for _, e := range es {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(item, e.value, e.key.Value)
		out.SetMapIndex(reflect.ValueOf(e.key.Value).Convert(v.Type().Key()), item)
	}
	v.Set(out)
}

// entries are the unique entries of a mapping; ok is false where n is none.
func (d *decoder) entries(want reflect.Type, n *yaml.Node, name string) (es []entry, ok bool) {
	if n.Kind != yaml.MappingNode {
		d.wrongType(want, n, name)
		return nil, false
	}
	c := read(n)
	for _, e := range c.repeated {
		d.fail(e.key, "%s is given twice%s", quote(e.key.Value), inside(name))
	}
	for _, k := range c.notWords {
		d.fail(k, "want a word as key%s, found %s", inside(name), found(k))
	}
	for _, m := range c.badMerge {
		d.fail(m, "<<: want a mapping to merge, found %s", found(m))
	}
	return c.entries, true
}

// structure fills a struct: known keys, defaults for absent ones, then what is
// missing and what is unknown.
func (d *decoder) structure(v reflect.Value, n *yaml.Node, name string) {
	es, ok := d.entries(v.Type(), n, name)
	if !ok {
		return
	}
	d.defaults(v, n)
	d.setPlace(v, n, name)
	fields := fieldsOf(v.Type())
	given := map[string]bool{}
	var rest []entry
	for _, e := range es {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == e.key.Value })
		if i < 0 {
			rest = append(rest, e)
			continue
		}
		given[e.key.Value] = true
		d.field(v.FieldByIndex(fields[i].index), e.value, fields[i])
	}
	if open, isOpen := v.Addr().Interface().(openStruct); isOpen {
		open.takeRest(d, n, name, rest)
	} else {
		d.unknown(rest, fields, given, name)
	}
	for _, f := range fields {
		if f.rules.required && !given[f.name] && v.Type() != reflect.TypeFor[ServiceDefaults]() {
			d.fail(n, "missing required field %q%s", f.name, inside(name))
		}
	}
}

// unknown reports keys that are no fields. A key that looks like a slip of a
// field counts as given, lest one mistake is told twice.
func (d *decoder) unknown(rest []entry, fields []field, given map[string]bool, name string) {
	for _, e := range rest {
		free := slices.DeleteFunc(names(fields), func(f string) bool { return given[f] })
		near := Suggest(e.key.Value, free)
		given[near] = true
		d.suggest(e.key, near, "unknown field %s%s", quote(e.key.Value), inside(name))
	}
}

// field decodes one field; its rules are checked where decoding went well.
func (d *decoder) field(v reflect.Value, n *yaml.Node, f field) {
	before := len(d.problems)
	d.value(v, n, f.name)
	if len(d.problems) == before {
		d.check(v, resolve(n), f)
	}
}

// defaults fills the fields of a struct that have one; structs within are
// filled too, so that an absent section reads like an empty one.
func (d *decoder) defaults(v reflect.Value, at *yaml.Node) {
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		switch {
		case f.rules.def != "":
			setText(fv, f.rules.def)
		case f.typ == reflect.TypeFor[Node]():
			fv.Set(reflect.ValueOf(Node{name: f.name, at: d.pos(at)}))
		case f.typ.Kind() == reflect.Struct && isMapping(f.typ):
			d.defaults(fv, at)
		}
	}
}

// setText sets a value from the text of a tag and panics where it cannot.
func setText(v reflect.Value, text string) {
	d := decoder{}
	d.value(v, &yaml.Node{Kind: yaml.ScalarNode, Value: text}, "tag")
	if len(d.problems) > 0 {
		panic(fmt.Sprintf("spec: %q in the tag of a %s: %v", text, v.Type(), d.problems))
	}
}

// setPlace fills the fields Pos and Src that a struct may have beside its
// keys, its own or those of an inline struct.
func (d *decoder) setPlace(v reflect.Value, n *yaml.Node, name string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := f.Tag.Get("yaml")
		switch {
		case strings.Contains(tag, "inline"):
			d.setPlace(v.Field(i), n, name)
		case tag != "-" || !f.IsExported():
		case f.Name == "Pos" && f.Type == reflect.TypeFor[Pos]():
			v.Field(i).Set(reflect.ValueOf(d.pos(n)))
		case f.Name == "Src" && f.Type == reflect.TypeFor[Node]():
			v.Field(i).Set(reflect.ValueOf(Node{name: name, at: d.pos(n), node: n}))
		}
	}
}
