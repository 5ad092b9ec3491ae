package spec

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"sync"
)

// rules is what a spec tag says: "required,const=X,enum=a|b,pattern=name,
// min=1,max=9,default=3s". On a list min and max count its items, and pattern
// holds for each; on a map for each key. Bounds and defaults are written like
// values of the field. Values hold no commas.
type rules struct {
	required bool
	constant string
	enum     []string
	pattern  *pattern
	min, max string
	def      string
}

// pattern is a form that text must have, with the words to say so.
type pattern struct {
	re   *regexp.Regexp
	want string
}

// patterns that tags name; any other pattern is a regular expression.
var patterns = map[string]pattern{
	"name":    {regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`), "lower-case letters, digits and dashes"},
	"env":     {regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`), "a variable name: letters, digits and underscores"},
	"path":    {regexp.MustCompile(`^/`), "a path that starts with /"},
	"program": {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`), "the name of a program"},
	"text":    {regexp.MustCompile(`\S`), "some text"},
}

// IsName reports whether text can be the name of a service or scenario.
func IsName(text string) bool { return patterns["name"].re.MatchString(text) }

// field is one key of a mapping that decodes into a struct.
type field struct {
	name  string
	doc   string
	index []int
	typ   reflect.Type
	rules rules
}

// fieldsOf lists the keys of a struct type, in order. Only fields with a yaml
// tag are keys; the keys of inline structs belong to the struct around them.
// What it returns is shared, and not to be changed.
func fieldsOf(t reflect.Type) []field {
	if known, ok := fieldTables.Load(t); ok {
		return known.([]field)
	}
	out := readFields(t)
	fieldTables.Store(t, out)
	return out
}

// fieldTables remembers readFields by type: it is a third of the time that a
// long file takes.
var fieldTables sync.Map

func readFields(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("yaml")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case strings.Contains(options, "inline"):
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				out = append(out, inner)
			}
		case tagged && name != "-" && f.IsExported():
			out = append(out, field{name, f.Tag.Get("doc"), []int{i}, f.Type, parseRules(f.Tag.Get("spec"))})
		}
	}
	return out
}

// parseRules panics on a word it does not know: tags are code.
func parseRules(tag string) rules {
	var r rules
	if tag == "" {
		return r
	}
	for word := range strings.SplitSeq(tag, ",") {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "required":
			r.required = true
		case "const":
			r.constant = value
		case "enum":
			r.enum = strings.Split(value, "|")
		case "pattern":
			p, known := patterns[value]
			if !known {
				p = pattern{regexp.MustCompile(value), "something like " + value}
			}
			r.pattern = &p
		case "min":
			r.min = value
		case "max":
			r.max = value
		case "default":
			r.def = value
		default:
			panic(fmt.Sprintf("spec: unknown word %q in tag %q", key, tag))
		}
	}
	return r
}

func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

// Field describes one key of a mapping, for reference and completion.
type Field struct {
	Name     string
	Type     string // "duration", "text", "list of text", "mapping", ...
	Required bool
	Default  string // as it would be written; empty: none
	Doc      string
	Enum     []string
	Fields   []Field // of a mapping, or of the mappings of a list
}

// Fields describes the keys that a struct, or a pointer to one, decodes from.
func Fields(v any) []Field {
	t := reflect.TypeOf(v)
	if t == nil {
		return nil
	}
	return reference(t)
}

func reference(t reflect.Type) []Field {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return reference(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	var out []Field
	for _, f := range fieldsOf(t) {
		enum := f.rules.enum
		if f.rules.constant != "" {
			enum = []string{f.rules.constant}
		}
		out = append(out, Field{f.name, typeName(f.typ), f.rules.required, f.rules.def, f.doc, enum, reference(f.typ)})
	}
	return out
}
