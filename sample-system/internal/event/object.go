package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// object is a JSON object whose names match exactly: encoding/json would also
// take "Amount" for "amount", which the schema has not looked at. What is
// absent or of another type reads as zero, for the schema has had its say.
type object map[string]any

func parse(b []byte) (object, error) {
	if len(b) > maxSize {
		return nil, fmt.Errorf("event of %d bytes, at most %d are allowed", len(b), maxSize)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("event is not JSON: %w", err)
	}
	o, ok := doc.(map[string]any)
	if !ok {
		return nil, errors.New("event is not a JSON object")
	}
	return o, nil
}

func (o object) text(name string) string {
	s, _ := o[name].(string)
	return s
}

// number reads an integer however it is written: 1000, 1000.0 or 1e3.
func (o object) number(name string) int64 {
	n, _ := o[name].(json.Number)
	if i, err := n.Int64(); err == nil {
		return i
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || math.Abs(f) > maxExact {
		return 0
	}
	return int64(f)
}

// maxExact is the largest integer below which a float has no gaps.
const maxExact = 1 << 53

func (o object) object(name string) object {
	v, _ := o[name].(map[string]any)
	return v
}

func (o object) objects(name string) []object {
	list, _ := o[name].([]any)
	var out []object
	for _, v := range list {
		if m, ok := v.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}
