package spec

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const wholeDay = `apiVersion: squall/v1
kind: GameDay
metadata: {name: payments-day, owner: payments}
spec:
  objectives: [Do we notice?]
  system: system.yaml
  load: {script: load.js, arrival: 20/s}
  roles: {lead: Ana, responder: Ben}
  contacts: [{name: On call, reach: "555"}]
  window: {days: [mon, fri], from: "09:00", to: "17:30", zone: Europe/Berlin}
  freeze: FREEZE
  steady: [{id: ok, slo: checkout, atLeast: 99%}]
  guardrails: [{id: too-bad, slo: checkout, below: 20%, for: 2s}]
  playbooks:
    - id: slow
      title: It is slow
      signals: [{id: p99, promql: x, above: 1s}]
      steps: [Look at the breaker.]
  steps:
    - {id: ready, wait: Everybody is there.}
    - {id: slow-psp, fault: {kind: net-latency, on: orders->psp, params: {latency: 3s}}, for: 30s, until: person, playbook: slow}
    - {id: slower, ramp: {kind: net-latency, on: orders -> psp, each: 5s, levels: [{latency: 1s}, {latency: 2s}]}}
    - {id: calm, hold: 10s}
    - {id: drill, scenario: drill.yaml}
`

func TestAGameDayIsRead(t *testing.T) {
	g, ps := ParseGameDay("day.yaml", []byte(wholeDay))
	require.Empty(t, ps)
	assert.Equal(t, []string{DoesWait, DoesFault, DoesRamp, DoesHold, DoesScenario}, func() (does []string) {
		for _, s := range g.Spec.Steps {
			does = append(does, s.Does())
		}
		return does
	}())
	assert.Equal(t, "orders -> psp", g.Spec.Steps[1].Fault.On, "targets have one spelling")
	levels := g.Spec.Steps[2].Levels()
	require.Len(t, levels, 2)
	var p struct {
		Latency Duration `yaml:"latency"`
	}
	require.NoError(t, levels[1].Params.Decode(&p))
	assert.Equal(t, "slower-2 2s 5s", strings.Join([]string{levels[1].ID, p.Latency.String(), levels[1].For.String()}, " "))
	assert.Equal(t, 10*time.Second, g.Spec.Steps[2].Length())
	assert.Equal(t, "too-bad", g.Watched(false).Spec.Guardrails[0].ID)
	assert.Equal(t, "p99", g.Watched(true).Spec.Guardrails[0].ID)
	assert.NoError(t, compile(t, "GameDay").Validate(instance(t, "day.yaml", []byte(wholeDay))), "the schema takes what the decoder takes")
}

// Every mistake is told at its place.
func TestMistakesInAGameDay(t *testing.T) {
	for name, tt := range map[string]struct{ from, to, want string }{
		"two kinds":        {"hold: 10s}", "hold: 10s, wait: x}", `23:7: step "calm": wants one of scenario, fault, ramp, wait and hold, has 2`},
		"no kind":          {", hold: 10s}", "}", `23:7: step "calm": wants one of scenario, fault, ramp, wait and hold, has 0`},
		"fault for ever":   {"for: 30s, ", "", "needs for: how long it stands at most"},
		"id twice":         {"id: calm", "id: ready", `there is already a step "ready"`},
		"playbook unknown": {"playbook: slow}", "playbook: slwo}", `21:125: playbook: there is no playbook "slwo" (did you mean "slow"?)`},
		"until of a hold":  {"hold: 10s", "hold: 10s, until: person", "until: goes with a fault, not with a hold"},
		"for of a ramp":    {"{latency: 2s}]}}", "{latency: 2s}]}, for: 3s}", "for: goes with a fault or a wait, not with a ramp"},
		"no aim":           {"on: orders->psp", "on: orders->", `is not`},
		"window backwards": {`to: "17:30"`, `to: "08:30"`, "10:49: window: to is not after from"},
		"window mixed":     {`to: "17:30"`, `to: 2026-11-24T09:30:00Z`, "window: from and to are either both times of day or both instants"},
		"window zone":      {"Europe/Berlin", "Europe/Berlni", `there is no time zone "Europe/Berlni"`},
		"window day":       {"[mon, fri]", "[mon, friday]", "found \"friday\""},
		"signal twice":     {"id: p99", "id: too-bad", `there is already an assertion "too-bad"`},
		"unknown field":    {"  freeze:", "  frezee:", `unknown field "frezee"`},
		"no guardrail":     {"  guardrails: [{id: too-bad, slo: checkout, below: 20%, for: 2s}]\n", "", "guardrails"},
	} {
		t.Run(name, func(t *testing.T) {
			src := strings.Replace(wholeDay, tt.from, tt.to, 1)
			require.NotEqual(t, wholeDay, src)
			_, ps := ParseGameDay("day.yaml", []byte(src))
			require.NotEmpty(t, ps)
			assert.Contains(t, ps.Error(), tt.want)
		})
	}
}

func TestWindow(t *testing.T) {
	office := TimeWindow{Days: []string{"mon", "fri"}, From: "09:00", To: "17:30", Zone: "Europe/Berlin"}
	span := TimeWindow{From: "2026-11-20T10:00:00Z", To: "2026-11-21T10:00:00Z", Zone: "UTC"}
	for name, tt := range map[string]struct {
		w    TimeWindow
		at   string
		ends string // the window that it is in; "": it is in none
	}{
		"first minute":     {office, "2026-11-20T08:00:00Z", "2026-11-20T16:30:00Z"}, // a Friday; Berlin is an hour ahead
		"before":           {office, "2026-11-20T07:59:59Z", ""},
		"last minute":      {office, "2026-11-20T16:29:59Z", "2026-11-20T16:30:00Z"},
		"after":            {office, "2026-11-20T16:30:00Z", ""},
		"in summer":        {office, "2026-07-17T07:00:00Z", "2026-07-17T15:30:00Z"},
		"wrong day":        {office, "2026-11-21T10:00:00Z", ""},
		"within the span":  {span, "2026-11-20T10:00:00Z", "2026-11-21T10:00:00Z"},
		"at its end":       {span, "2026-11-21T10:00:00Z", ""},
		"before the span":  {span, "2026-11-20T09:59:59Z", ""},
		"no such zone":     {TimeWindow{From: "00:00", To: "23:59", Zone: "Nowhere"}, "2026-11-20T12:00:00Z", ""},
		"every day of any": {TimeWindow{From: "00:00", To: "23:59", Zone: "UTC"}, "2026-11-21T12:00:00Z", "2026-11-21T23:59:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, tt.at)
			require.NoError(t, err)
			assert.Equal(t, tt.ends != "", tt.w.Contains(at))
			if tt.ends != "" {
				assert.Equal(t, tt.ends, tt.w.End(at).UTC().Format(time.RFC3339))
			}
		})
	}
}

func TestMistakesInLimits(t *testing.T) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJKCbiKZpaUgQXN/AKxpDdXlXFzXlPfg3v4jrf0jfOQ0"
	const system = `apiVersion: squall/v1
kind: System
metadata: {name: s}
spec:
  target: process
  services: {orders: {command: [x]}}
  edges: {}
  approvers: APPROVERS
  limits: LIMITS
`
	for name, tt := range map[string]struct{ approvers, limits, want string }{
		"no key":        {"[{name: ana, key: hello}]", "{}", "8:32: key: want one public key"},
		"name twice":    {"[{name: ana, key: " + key + "}, {name: ana, key: x}]", "{}", `approvers: "ana" is given twice`},
		"one key twice": {"[{name: ana, key: " + key + "}, {name: ben, key: " + key + "}]", "{}", "it is that of ana already"},
		"too many":      {"[{name: ana, key: " + key + "}]", "{approvals: {low: 1, medium: 1, high: 2}}", "high wants 2, there are 1 approvers"},
		"unknown":       {"[{name: ana, key: " + key + "}]", "{approvals: {high: 1}, protected: [order]}", `there is no service "order" (did you mean "orders"?)`},
		"share":         {"[{name: ana, key: " + key + "}]", "{approvals: {high: 1}, share: 50}", "ratio 50 is above 1"},
		"":              {"[{name: ana, key: " + key + "}]", "{approvals: {high: 1}, share: 50%, protected: [orders]}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, ps := ParseSystem("system.yaml", []byte(strings.NewReplacer("APPROVERS", tt.approvers, "LIMITS", tt.limits).Replace(system)))
			if tt.want == "" {
				require.Empty(t, ps)
				assert.Equal(t, Approvals{1, 1, 1}, s.Spec.Limits.Approvals)
				return
			}
			assert.Contains(t, ps.Error(), tt.want)
		})
	}
}
