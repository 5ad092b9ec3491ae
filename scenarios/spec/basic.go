package spec

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// basic fills text, numbers and booleans. Text takes any scalar as it is
// written; a number or boolean must be one, not a quoted text that looks like it.
func (d *decoder) basic(v reflect.Value, n *yaml.Node, name string) {
	if n.Kind != yaml.ScalarNode || !setBasic(v, n) {
		d.wrongType(v.Type(), n, name)
	}
}

func setBasic(v reflect.Value, n *yaml.Node) bool {
	if v.Kind() == reflect.String {
		v.SetString(n.Value)
		return true
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return false
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(n.Value == "true")
		return n.Value == "true" || n.Value == "false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		v.SetInt(i)
		return err == nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(n.Value, 10, v.Type().Bits())
		v.SetUint(u)
		return err == nil
	case reflect.Float32, reflect.Float64:
		f, err := number(n.Value)
		v.SetFloat(f)
		return err == nil
	default:
		panic(fmt.Sprintf("spec: a field of type %s cannot be read from a file", v.Type()))
	}
}

// check applies a field's rules to its decoded value.
func (d *decoder) check(v reflect.Value, n *yaml.Node, f field) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	r := f.rules
	text := n.Value
	switch {
	case r.constant != "" && text != r.constant:
		d.fail(n, "%s: want %s, found %s", f.name, r.constant, quote(text))
	case r.enum != nil && !slices.Contains(r.enum, text):
		d.suggest(n, Suggest(text, r.enum), "%s: unknown value %s, want %s", f.name, quote(text), oneOf(r.enum))
	}
	if r.pattern != nil {
		d.checkPattern(v, n, f)
	}
	if r.min != "" && compare(v, r.min) < 0 {
		d.fail(n, "%s: want %s", f.name, atLeast(v, n, r.min))
	}
	if r.max != "" && compare(v, r.max) > 0 {
		d.fail(n, "%s: want at most %s, found %s", f.name, r.max, text)
	}
}

// checkPattern holds text, each item of a list and each key of a map to it.
func (d *decoder) checkPattern(v reflect.Value, n *yaml.Node, f field) {
	words := []*yaml.Node{n}
	switch v.Kind() {
	case reflect.Slice:
		words = n.Content
	case reflect.Map:
		words = nil
		for _, e := range entries(n) {
			words = append(words, e.key)
		}
	}
	for _, w := range words {
		if w = resolve(w); !f.rules.pattern.re.MatchString(w.Value) {
			d.fail(w, "%s: want %s, found %s", f.name, f.rules.pattern.want, quote(w.Value))
		}
	}
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "one of " + strings.Join(words, ", ")
}

// atLeast words a lower bound for the value that is below it.
func atLeast(v reflect.Value, n *yaml.Node, bound string) string {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		return fmt.Sprintf("%s or more entries, found %d", bound, v.Len())
	}
	return fmt.Sprintf("at least %s, found %s", bound, n.Value)
}

// compare orders a number against a bound, which is written as the value is;
// of a list or map it orders the length.
func compare(v reflect.Value, bound string) int {
	if v.Kind() == reflect.Slice || v.Kind() == reflect.Map {
		v = reflect.ValueOf(v.Len())
	}
	limit := reflect.New(v.Type()).Elem()
	setText(limit, bound)
	switch {
	case v.CanInt():
		return cmp.Compare(v.Int(), limit.Int())
	case v.CanUint():
		return cmp.Compare(v.Uint(), limit.Uint())
	case v.CanFloat():
		return cmp.Compare(v.Float(), limit.Float())
	}
	panic(fmt.Sprintf("spec: min and max do not apply to %s", v.Type()))
}
