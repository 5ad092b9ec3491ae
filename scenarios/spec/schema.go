package spec

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/invopop/jsonschema"
)

// Schema is the JSON Schema (2020-12) of a file kind, "Scenario", "System" or "GameDay",
// made of the types that decode it, and of the kinds by their names. Without check
// kinds, a check may have any key as its kind.
func Schema(kind string, faults, checks map[string]KindDoc) ([]byte, error) {
	roots := map[string]reflect.Type{
		"Scenario": reflect.TypeFor[Scenario](),
		"System":   reflect.TypeFor[System](),
		"GameDay":  reflect.TypeFor[GameDay](),
	}
	root, known := roots[kind]
	if !known {
		return nil, fmt.Errorf("schema of %s: want Scenario, System or GameDay", quote(kind))
	}
	b := schemaBuilder{faults: faults, checks: checks, defs: jsonschema.Definitions{}}
	s := b.object(root)
	s.Version = jsonschema.Version
	s.Title = "Squall " + kind
	s.Definitions = b.defs
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema of %s: %w", kind, err)
	}
	return append(out, '\n'), nil
}

// KindDoc is what a schema says of a kind of fault or check.
type KindDoc struct {
	Summary string // one line
	Params  any    // zero value of its parameter struct; nil: it takes none
}

// schemaBuilder collects the parameters of kinds as definitions, because
// checks stand in three places.
type schemaBuilder struct {
	faults, checks map[string]KindDoc
	defs           jsonschema.Definitions
}

// of is the schema of a type.
func (b *schemaBuilder) of(t reflect.Type) *jsonschema.Schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Edges]():
		return &jsonschema.Schema{
			Type:                 "object",
			PropertyNames:        &jsonschema.Schema{Pattern: `^\s*[a-z0-9-]+\s*->\s*[a-z0-9-]+\s*$`},
			AdditionalProperties: b.object(reflect.TypeFor[Edge]()),
		}
	case reflect.TypeFor[SwitchNames]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "array", Items: anyScalar()}}}
	case reflect.TypeFor[Node]():
		return &jsonschema.Schema{}
	}
	if isScalar(t) {
		return b.scalar(t)
	}
	switch t.Kind() {
	case reflect.Struct:
		return b.object(t)
	case reflect.Slice:
		return &jsonschema.Schema{Type: "array", Items: b.item(t.Elem())}
	case reflect.Map:
		return &jsonschema.Schema{Type: "object", AdditionalProperties: b.item(t.Elem())}
	case reflect.String:
		return &jsonschema.Schema{Type: "string"}
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}
	case reflect.Float32, reflect.Float64:
		return &jsonschema.Schema{Type: "number"}
	default:
		return &jsonschema.Schema{Type: "integer"}
	}
}

// item is the schema of a list's or map's value: arguments and variables are
// text, but people write numbers there, and the decoder takes them as written.
func (b *schemaBuilder) item(t reflect.Type) *jsonschema.Schema {
	if t.Kind() == reflect.String {
		return anyScalar()
	}
	return b.of(t)
}

func anyScalar() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
}

// scalar is text in the type's form. Where the form allows a bare number, YAML
// gives a number, so the schema must allow that too.
func (b *schemaBuilder) scalar(t reflect.Type) *jsonschema.Schema {
	if isMapping(t) {
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, b.object(t)}}
	}
	_, example, pattern := scalarDoc(t)
	if pattern == "" {
		return anyScalar()
	}
	s := &jsonschema.Schema{Type: "string", Pattern: pattern, Examples: []any{example}}
	if reflect.New(t).Interface().(Scalar).FromScalar("1") == nil {
		s.Type, s.AnyOf = "", []*jsonschema.Schema{{Type: "string"}, {Type: "number"}}
	}
	return s
}

// object is the schema of a struct.
func (b *schemaBuilder) object(t reflect.Type) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	for _, f := range fieldsOf(t) {
		p := b.of(f.typ)
		if r := f.rules; p.Type == "string" && r.pattern == nil && r.constant == "" && len(r.enum) == 0 && f.typ.Kind() == reflect.String && !isScalar(f.typ) {
			p = anyScalar() // as with items: status: 503 is text as written
		}
		p.Description = f.doc
		applyRules(p, f)
		s.Properties.Set(f.name, p)
		if f.rules.required && !filledIn(t) {
			s.Required = append(s.Required, f.name)
		}
	}
	switch t {
	case reflect.TypeFor[Fault](), reflect.TypeFor[DayFault]():
		b.faultKinds(s, "params", func(params *jsonschema.Schema) *jsonschema.Schema { return params })
	case reflect.TypeFor[Ramp]():
		b.faultKinds(s, "levels", func(level *jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{Items: level} })
	case reflect.TypeFor[Check](), reflect.TypeFor[Guardrail]():
		b.checkKinds(s)
	}
	return s
}

// filledIn says that what a mapping lacks may stand in spec.defaults, which a
// schema cannot look into.
func filledIn(t reflect.Type) bool {
	return t == reflect.TypeFor[Service]() || t == reflect.TypeFor[ServiceDefaults]()
}

// applyRules says in the schema what the spec tag says to the decoder.
func applyRules(s *jsonschema.Schema, f field) {
	r := f.rules
	if r.constant != "" {
		s.Const = r.constant
	}
	for _, e := range r.enum {
		s.Enum = append(s.Enum, e)
	}
	if r.def != "" {
		s.Default = defaultValue(f.typ, r.def)
	}
	switch f.typ.Kind() {
	case reflect.Slice:
		s.MinItems, s.MaxItems = count(r.min), count(r.max)
		if r.pattern != nil {
			s.Items.Pattern = r.pattern.re.String()
		}
	case reflect.Map:
		s.MinProperties, s.MaxProperties = count(r.min), count(r.max)
		if r.pattern != nil {
			s.PropertyNames = &jsonschema.Schema{Pattern: r.pattern.re.String()}
		}
	default:
		if r.pattern != nil {
			s.Pattern = r.pattern.re.String()
		}
		if s.Type == "integer" || s.Type == "number" {
			s.Minimum, s.Maximum = json.Number(r.min), json.Number(r.max)
		}
	}
}

// count is a bound on a number of entries; nil where there is none.
func count(text string) *uint64 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return nil
	}
	return &n
}

// defaultValue is a default as YAML would read it.
func defaultValue(t reflect.Type, text string) any {
	switch t.Kind() {
	case reflect.Bool:
		return text == "true"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		if _, err := number(text); err == nil {
			return json.Number(text)
		}
	}
	return text
}

// faultKinds ties the parameters of a fault, which stand under a key in some
// form, to its kind.
func (b *schemaBuilder) faultKinds(s *jsonschema.Schema, key string, form func(*jsonschema.Schema) *jsonschema.Schema) {
	kinds, _ := s.Properties.Get("kind")
	for _, kind := range sorted(b.faults) {
		kinds.Enum = append(kinds.Enum, kind)
		is := jsonschema.NewProperties()
		is.Set("kind", &jsonschema.Schema{Const: kind})
		ref := b.define("fault-"+kind, b.faults[kind])
		has := jsonschema.NewProperties()
		has.Set(key, form(&jsonschema.Schema{Ref: ref}))
		then := &jsonschema.Schema{Properties: has}
		if needsParams(b.faults[kind].Params) {
			then.Required = []string{key}
		}
		s.AllOf = append(s.AllOf, &jsonschema.Schema{
			If:   &jsonschema.Schema{Properties: is, Required: []string{"kind"}},
			Then: then,
		})
	}
}

// checkKinds gives a check exactly one kind as its key.
func (b *schemaBuilder) checkKinds(s *jsonschema.Schema) {
	if len(b.checks) == 0 {
		s.AdditionalProperties = nil
		return
	}
	for _, kind := range sorted(b.checks) {
		s.Properties.Set(kind, &jsonschema.Schema{Ref: b.define("check-"+kind, b.checks[kind])})
		s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{kind}})
	}
}

// define puts the parameters of a kind among the definitions and refers to them.
// Editors show its description where the kind is written.
func (b *schemaBuilder) define(name string, kind KindDoc) string {
	if _, done := b.defs[name]; !done {
		params := b.params(kind.Params)
		params.Description = kind.Summary
		b.defs[name] = params
	}
	return "#/$defs/" + name
}

func (b *schemaBuilder) params(params any) *jsonschema.Schema {
	if params == nil {
		return &jsonschema.Schema{Type: "object", AdditionalProperties: jsonschema.FalseSchema}
	}
	return b.of(reflect.TypeOf(params))
}

// needsParams reports whether a parameter struct has a required field.
func needsParams(params any) bool {
	for _, f := range Fields(params) {
		if f.Required {
			return true
		}
	}
	return false
}
