package reports

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/verdict"
)

func TestVerdictsMeetTheirSchema(t *testing.T) {
	published, err := VerdictSchema()
	require.NoError(t, err)
	committed := filepath.Join("schema", "verdict.json")
	if *update {
		require.NoError(t, os.MkdirAll("schema", 0o755))
		require.NoError(t, os.WriteFile(committed, published, 0o644))
	}
	want, err := os.ReadFile(committed)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(published), "make schema")

	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(published))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("verdict.json", doc))
	schema, err := c.Compile("verdict.json")
	require.NoError(t, err)
	check := func(v any) error {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		require.NoError(t, err)
		return schema.Validate(value)
	}
	full := plot.failed()
	full.Dirty = []string{"a stage is left"}
	full.Findings[0].Interval = &verdict.Interval{Low: -1, High: nan}
	full.Findings[0].Series = []verdict.Point{{V: 1}}
	require.NoError(t, check(full))
	require.NoError(t, check(verdict.Result{Verdict: verdict.Skipped, Findings: []verdict.Finding{}}))

	assert.Error(t, check(map[string]any{"verdict": "green", "sentence": "", "findings": []any{}}), "no such verdict")
	assert.Error(t, check(map[string]any{"sentence": "", "findings": []any{}}), "a verdict is wanted")
	assert.Error(t, check(map[string]any{"verdict": "pass", "sentence": "", "findings": []any{map[string]any{"id": 3}}}))
}
