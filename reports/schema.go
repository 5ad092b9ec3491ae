package reports

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"squall/runner/record"
	"squall/runner/verdict"
)

// VerdictSchema is the JSON Schema (2020-12) of verdict.json, made of the types
// that are written. Fields may be added; those that are there keep their meaning.
func VerdictSchema() ([]byte, error) {
	r := &jsonschema.Reflector{
		ExpandedStruct: true, AllowAdditionalProperties: true, Anonymous: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[record.Float]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "number"}, {Type: "string", Enum: []any{"NaN", "+Inf", "-Inf"}}}}
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "integer", Description: "Nanoseconds; instants are since the start of the run."}
			case reflect.TypeFor[verdict.Verdict]():
				return &jsonschema.Schema{Type: "string", Enum: []any{verdict.Pass, verdict.Fail, verdict.Inconclusive, verdict.Error, verdict.Aborted, verdict.Skipped}}
			}
			return nil
		},
	}
	s := r.Reflect(verdict.Result{})
	s.Title, s.Description = "Squall verdict", "The judgement of one run, as verdict.json holds it. What is in dirty outranks the verdict."
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("reports: schema of the verdict: %w", err)
	}
	return append(out, '\n'), nil
}
