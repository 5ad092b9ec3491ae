// Schemas of events.
//
// Answers: a producer that writes something else than its consumers read. The
// shape of each version of each type is a JSON Schema, and an event that does
// not match is refused with the place of the mistake.
// Numbers: strings and lists have bounds that no honest event comes near; a
// cause names three mistakes at most, so that it stays one line of a header.
// Costs: some ten microseconds per event. A name that the schema does not know
// is let through, so that a producer may add one without a new version.
// Breaks without it: TestMalformed. No off switch of its own: see version.go.

package event

import (
	"bytes"
	"embed"
	"errors"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schema/*.json
var files embed.FS

// schema is nil for one that allows everything.
type schema struct{ compiled *jsonschema.Schema }

// schemas are by name: "orders.placed.v2".
type schemas map[string]*schema

// compile reads the embedded schemas, once per process: they never change.
var compile = sync.OnceValue(func() schemas {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	entries, err := files.ReadDir("schema")
	must(err)
	for _, e := range entries {
		b, err := files.ReadFile("schema/" + e.Name())
		must(err)
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		must(err)
		must(c.AddResource(resource(e.Name()), doc))
	}
	all := schemas{}
	for _, e := range entries {
		compiled, err := c.Compile(resource(e.Name()))
		must(err)
		all[strings.TrimSuffix(e.Name(), ".json")] = &schema{compiled}
	}
	return all
})

// resource is the $id of the schema in a file.
func resource(file string) string { return "shop:" + strings.TrimSuffix(file, ".json") }

// must is for what is compiled in, and used by every test of this package.
func must(err error) {
	if err != nil {
		panic("event schemas: " + err.Error())
	}
}

func (s *schema) check(doc object) error {
	if s == nil {
		return nil
	}
	err := s.compiled.Validate(map[string]any(doc))
	var invalid *jsonschema.ValidationError
	if errors.As(err, &invalid) {
		return errors.New(strings.Join(firstMistakes(invalid, nil), "; "))
	}
	return err
}

const maxMistakes = 3

// firstMistakes are the innermost causes, each with its place.
func firstMistakes(e *jsonschema.ValidationError, found []string) []string {
	if len(e.Causes) == 0 && len(found) < maxMistakes {
		return append(found, e.Error())
	}
	for _, cause := range e.Causes {
		found = firstMistakes(cause, found)
	}
	return found
}
