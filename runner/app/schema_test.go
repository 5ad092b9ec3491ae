package app_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

// What an editor shows is what its schema says: the schemas, as they are
// committed, accept every file that comes with squall, and refuse what one field
// of the bad ones has wrong. A YAML language server is in neither Debian nor the
// Go module proxy, so the validator stands for it.
func TestSchemasAsAnEditorUsesThem(t *testing.T) {
	scenario, system := schemaOf(t, "scenario"), schemaOf(t, "system")
	shipped, err := filepath.Glob("../../scenarios/*/*.yaml")
	require.NoError(t, err)
	checked := 0
	for _, file := range shipped {
		doc := yamlFile(t, file)
		if m, is := doc.(map[string]any); is && m["kind"] == "Scenario" {
			assert.NoError(t, scenario.Validate(doc), file)
			checked++
		}
	}
	assert.Greater(t, checked, 20)
	for _, file := range []string{"../../sample-system/system.yaml", "../../sample-system/compose.yaml", "testdata/bad/system/system.yaml"} {
		assert.NoError(t, system.Validate(yamlFile(t, file)), file)
	}
	for _, bad := range []string{"fault-kind-unknown", "fault-params-missing", "fault-params-unknown", "fault-params-ratio", "check-kind-unknown",
		"check-params-missing", "check-params-unknown", "slo-without-bound", "many-at-once"} {
		assert.Error(t, scenario.Validate(yamlFile(t, "testdata/bad/"+bad+".yaml")), bad)
	}
}

func schemaOf(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../../scenarios/schema/" + kind + ".json")
	require.NoError(t, err)
	return s
}

// yamlFile is a file as a schema validator sees it.
func yamlFile(t *testing.T, file string) any {
	t.Helper()
	src, err := os.ReadFile(file)
	require.NoError(t, err)
	var doc any
	require.NoError(t, yaml.Unmarshal(src, &doc), file)
	text, err := json.Marshal(doc)
	require.NoError(t, err)
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	return v
}

// Whoever opens a shipped scenario has the schema at hand.
func TestShippedScenariosNameTheirSchema(t *testing.T) {
	files, err := filepath.Glob("../../scenarios/*/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		first, _, _ := strings.Cut(string(src), "\n")
		_, name, found := strings.Cut(first, "$schema=")
		if !strings.Contains(string(src), "kind: Scenario") {
			continue
		}
		if assert.True(t, found, "%s: %s", file, first) {
			assert.FileExists(t, filepath.Join(filepath.Dir(file), name), file)
		}
	}
}
