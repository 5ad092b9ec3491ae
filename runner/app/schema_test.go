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

// What an editor shows is what its schema says, so the committed schemas accept
// every file that comes with squall. They do so as an editor reads them that knows
// only draft 7, as many do. A YAML language server is in neither Debian nor the Go
// module proxy, so the validator stands for it.
func TestSchemasAcceptWhatIsShipped(t *testing.T) {
	for _, draft := range []string{"", "http://json-schema.org/draft-07/schema#"} {
		schemas := map[any]*jsonschema.Schema{"Scenario": schemaOf(t, "scenario", draft), "System": schemaOf(t, "system", draft), "GameDay": schemaOf(t, "gameday", draft)}
		checked := map[any]int{}
		for _, pattern := range []string{"../../scenarios/*/*.yaml", "../../sample-system/*.yaml", "testdata/bad/system/system.yaml"} {
			files, err := filepath.Glob(pattern)
			require.NoError(t, err)
			for _, file := range files {
				doc, err := yamlFile(file)
				require.NoError(t, err, file)
				kind := doc.(map[string]any)["kind"]
				if schema := schemas[kind]; schema != nil && doc.(map[string]any)["apiVersion"] == "squall/v1" {
					assert.NoError(t, schema.Validate(doc), file)
					checked[kind]++
				}
			}
		}
		assert.Greater(t, checked["Scenario"], 50)
		assert.Equal(t, 3, checked["GameDay"])
		assert.GreaterOrEqual(t, checked["System"], 3)
	}
}

// A mistake within one field is underlined while it is typed. What it takes more
// to see is left to squall validate: the golden file names all bad files of both
// corpora that pass the schema.
func TestSchemasRefuseMistakesInAField(t *testing.T) {
	for _, draft := range []string{"", "http://json-schema.org/draft-07/schema#"} {
		scenario, system := schemaOf(t, "scenario", draft), schemaOf(t, "system", draft)
		var unseen []string
		seen := 0
		for _, corpus := range []string{"testdata/bad", "../../scenarios/spec/testdata/bad"} {
			files, err := filepath.Glob(corpus + "/*.yaml")
			require.NoError(t, err)
			for _, file := range files {
				schema := scenario
				if strings.HasPrefix(filepath.Base(file), "system-") && corpus != "testdata/bad" {
					schema = system
				}
				doc, err := yamlFile(file)
				if err == nil && schema.Validate(doc) == nil {
					unseen = append(unseen, filepath.Base(file)+"\n")
					continue
				}
				seen++
			}
		}
		assert.Greater(t, seen, 60)
		golden(t, "testdata/unseen-by-editors.txt", strings.Join(unseen, ""))
	}
}

// An editor has a sentence for every key.
func TestSchemasExplainEveryKey(t *testing.T) {
	for _, kind := range []string{"scenario", "system", "gameday"} {
		src, err := os.ReadFile("../../scenarios/schema/" + kind + ".json")
		require.NoError(t, err)
		var root map[string]any
		require.NoError(t, json.Unmarshal(src, &root))
		defs, _ := root["$defs"].(map[string]any)
		keys := 0
		var visit func(path string, at any)
		visit = func(path string, at any) {
			if list, is := at.([]any); is {
				for _, item := range list {
					visit(path, item)
				}
			}
			node, _ := at.(map[string]any)
			properties, _ := node["properties"].(map[string]any)
			for name, p := range properties {
				keys++
				property := p.(map[string]any)
				if ref, is := property["$ref"].(string); is {
					property = defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
				}
				assert.NotEmpty(t, property["description"], "%s: %s.%s", kind, path, name)
			}
			for name, inner := range node {
				switch name {
				case "if", "then": // which parameters a kind has: their own definitions explain them
				default:
					visit(path+"."+name, inner)
				}
			}
		}
		visit("", root)
		assert.Greater(t, keys, 100, kind)
	}
}

// schemaOf is a committed schema, read as a draft; the one that it names itself if empty.
func schemaOf(t *testing.T, kind, draft string) *jsonschema.Schema {
	t.Helper()
	src, err := os.ReadFile("../../scenarios/schema/" + kind + ".json")
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	require.NoError(t, err)
	if draft != "" {
		doc.(map[string]any)["$schema"] = draft
	}
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("schema.json", doc))
	s, err := c.Compile("schema.json")
	require.NoError(t, err)
	return s
}

// yamlFile is a file as a schema validator sees it.
func yamlFile(file string) (any, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var doc any
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return nil, err
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(text))
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
