package spec

import (
	"reflect"
	"strings"
)

var scalarType = reflect.TypeFor[Scalar]()

// isScalar reports whether values of t are read from the text of a scalar.
func isScalar(t reflect.Type) bool { return reflect.PointerTo(t).Implements(scalarType) }

// isMapping reports whether values of t are read from a mapping.
func isMapping(t reflect.Type) bool {
	return t.Kind() == reflect.Map || t.Kind() == reflect.Struct && len(fieldsOf(t)) > 0
}

// typeName is what users call a type.
func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return typeName(t.Elem())
	}
	if t == reflect.TypeFor[Node]() {
		return "parameters"
	}
	if t == reflect.TypeFor[Edges]() {
		return "mapping of edges"
	}
	if t == reflect.TypeFor[SwitchNames]() {
		return "text or list of text"
	}
	if isScalar(t) {
		if isMapping(t) {
			return "text or mapping"
		}
		name, _, _ := scalarDoc(t)
		return name
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list of " + typeName(t.Elem())
	case reflect.Map:
		return "mapping of " + typeName(t.Elem())
	case reflect.Struct:
		return "mapping"
	default:
		return "whole number"
	}
}

// wanted says what a type wants to be written as, with an example.
func wanted(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return wanted(t.Elem())
	}
	if t == reflect.TypeFor[Edges]() {
		return "a mapping such as {orders -> payments: {protocol: http, env: PAYMENTS_URL}}"
	}
	if isScalar(t) {
		name, example, _ := scalarDoc(t)
		switch {
		case isMapping(t):
			return "text or a mapping of " + strings.Join(names(fieldsOf(t)), ", ")
		case example != "":
			return "a " + name + " such as " + example
		}
		return "a " + name
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number such as 0.5"
	case reflect.Slice:
		if isMapping(t.Elem()) {
			return "a list of mappings such as [{" + fieldsOf(t.Elem())[0].name + ": ...}]"
		}
		return "a list such as [a, b]"
	case reflect.Map:
		return "a mapping such as {key: value}"
	case reflect.Struct:
		if keys := fieldsOf(t); len(keys) > 0 {
			return "a mapping of " + strings.Join(names(keys), ", ")
		}
		return "an empty mapping"
	default:
		return "a whole number such as 3"
	}
}

// scalarDoc asks the type; one that does not describe itself goes by its name.
func scalarDoc(t reflect.Type) (name, example, pattern string) {
	if d, ok := reflect.Zero(t).Interface().(describer); ok {
		return d.ScalarDoc()
	}
	return strings.ToLower(t.Name()), "", ""
}
