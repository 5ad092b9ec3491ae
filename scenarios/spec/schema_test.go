package spec

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Parameter structs as kinds would have them.
type (
	expr    struct{ Expr string }
	breaker struct {
		Edge             string   `yaml:"edge" spec:"required" doc:"Edge of the breaker."`
		OpensWithin      Duration `yaml:"opensWithin" doc:"Longest time to open."`
		TrialCallsAtMost int      `yaml:"trialCallsAtMost" spec:"default=3,min=1" doc:"Trial calls while open."`
		ClosesWithin     Duration `yaml:"closesWithin" doc:"Longest time to close."`
	}
	ledger struct {
		Operation   string   `yaml:"operation" spec:"required" doc:"Operation."`
		AccountedBy []string `yaml:"accountedBy" doc:"Sources."`
		ExactlyOnce bool     `yaml:"exactlyOnce" spec:"default=true" doc:"Once."`
	}
	recovery struct {
		SLO    string   `yaml:"slo" spec:"required" doc:"SLO."`
		Within Duration `yaml:"within" spec:"required" doc:"Time."`
	}
)

func (e *expr) FromScalar(text string) error { e.Expr = text; return nil }

func compile(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	src, err := Schema(kind,
		map[string]KindDoc{"net-latency": {Params: latency{}}, "net-down": {}},
		map[string]KindDoc{"slo": {Params: sloName{}}, "promql": {Params: expr{}}, "breaker": {Params: breaker{}}, "ledger": {Params: ledger{}}, "recovery": {Params: recovery{}}})
	require.NoError(t, err)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource("squall.json", doc))
	schema, err := c.Compile("squall.json")
	require.NoError(t, err)
	return schema
}

// instance is a YAML text as a schema validator sees it.
func instance(t *testing.T, file string, src []byte) any {
	t.Helper()
	root, ps := parseOne(file, src)
	require.Empty(t, ps)
	text, err := json.Marshal(Node{node: root})
	require.NoError(t, err)
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	require.NoError(t, err)
	return v
}

func TestSchemaAcceptsGoodFiles(t *testing.T) {
	for file, kind := range map[string]string{"psp-slow.yaml": "Scenario", "system.yaml": "System"} {
		src, err := os.ReadFile(filepath.Join("testdata/good", file))
		require.NoError(t, err)
		assert.NoError(t, compile(t, kind).Validate(instance(t, file, src)), file)
	}
}

// What concerns one field is a matter for the schema; references, sums and
// order are not.
func TestSchemaRefusesBadFiles(t *testing.T) {
	scenario, system := compile(t, "Scenario"), compile(t, "System")
	for _, name := range []string{
		"bad-name", "bound", "check-slip", "check-two-kinds", "check-without-kind", "duration-malformed",
		"duration-without-unit", "during-unknown", "empty-hypothesis", "empty-section", "env", "everything-at-once",
		"fault-phase", "missing-fields", "negative-samples", "no-assertions", "null-value", "proves", "rate",
		"rate-unit", "unknown-field", "unknown-section", "wrong-types", "wrong-version", "list-at-root",
	} {
		src, err := os.ReadFile("testdata/bad/scenario-" + name + ".yaml")
		require.NoError(t, err)
		assert.Error(t, scenario.Validate(instance(t, name, src)), name)
	}
	for _, name := range []string{
		"command-empty", "edge-missing", "edge-protocol", "edges-list", "edges-malformed", "no-services", "service-name",
		"service-port", "target", "unknown-field", "edges-empty",
	} {
		src, err := os.ReadFile("testdata/bad/system-" + name + ".yaml")
		require.NoError(t, err)
		assert.Error(t, system.Validate(instance(t, name, src)), name)
	}
}

func TestSchemaKnowsKinds(t *testing.T) {
	schema := compile(t, "Scenario")
	good, err := os.ReadFile("testdata/good/psp-slow.yaml")
	require.NoError(t, err)
	for old, bad := range map[string]string{
		"kind: net-latency":          "kind: net-latncy",
		"latency: 3s, jitter: 200ms": "jitter: 200ms",
		"jitter: 200ms":              "jiter: 200ms",
		"trialCallsAtMost: 3":        "trialCallsAtMost: 0",
		"edge: payments":             "egde: payments",
		"slo: checkout-success, at":  "slow: checkout-success, at",
	} {
		require.True(t, bytes.Contains(good, []byte(old)), old)
		src := bytes.Replace(good, []byte(old), []byte(bad), 1)
		assert.Error(t, schema.Validate(instance(t, "", src)), bad)
	}
}

func TestSchemaForPeople(t *testing.T) {
	src, err := Schema("Scenario", nil, nil)
	require.NoError(t, err)
	var doc struct {
		Properties struct {
			Spec struct {
				Properties struct {
					Phases struct {
						Properties map[string]struct {
							Description string
							Default     any
						}
					}
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(src, &doc))
	baseline := doc.Properties.Spec.Properties.Phases.Properties["baseline"]
	assert.Equal(t, []any{"Steady state is measured.", "6s"}, []any{baseline.Description, baseline.Default})

	again, err := Schema("Scenario", nil, nil)
	require.NoError(t, err)
	assert.Equal(t, string(src), string(again), "stable")
	_, err = Schema("Sytem", nil, nil)
	assert.EqualError(t, err, `schema of "Sytem": want Scenario, System or GameDay`)
}

// What services lack may stand in the defaults.
func TestSchemaAcceptsDefaultsSwitchListsAndZones(t *testing.T) {
	src := `apiVersion: squall/v1
kind: System
metadata: {name: shop}
spec:
  target: process
  defaults: {command: [shop]}
  services: {orders: {ports: [http], when: [one, two], unless: three}}
  edges: {"client -> orders": {protocol: http, env: URL, when: one, unless: [three]}}
  switches: {one: {}, two: {}, three: {}}
  zones: {north: [orders]}
`
	assert.NoError(t, compile(t, "System").Validate(instance(t, "", []byte(src))))
	_, ps := ParseSystem("system.yaml", []byte(src))
	assert.Empty(t, ps)
}
