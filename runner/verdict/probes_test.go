package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// probed is a world in which the assertion x has looked twice a second.
func probed(answer func(t time.Duration) record.Probe) *world {
	w := newWorld()
	w.edit = func(r *record.Run) {
		for at := baseline; at < settle; at += 500 * time.Millisecond {
			p := answer(at)
			p.Name, p.On, p.Took = "x", "payments", int64(10*time.Millisecond)
			r.Probes = append(r.Probes, record.ProbeEvent{T: at + 10*time.Millisecond, Probe: p})
		}
	}
	return w
}

func TestHTTPCheck(t *testing.T) {
	dead := func(record.Probe) record.Probe { return record.Probe{Note: "connection refused"} }
	early := func(at time.Duration) bool { return at < fault+3*time.Second }
	for _, tt := range []struct {
		name, expect string
		change       func(at time.Duration, p record.Probe) record.Probe
		verdict      verdict.Verdict
		says         string
	}{
		{"as expected", "{path: /readyz}", nil, verdict.Pass, "100% of 20 answers were as expected"},
		{"another status", "{path: /readyz, status: 503}", nil, verdict.Fail, "0 of 20 answers were as expected, not at least 100%; at 8.0s payments: status 200"},
		{"no answer", "{path: /readyz}", func(_ time.Duration, p record.Probe) record.Probe { return dead(p) }, verdict.Fail, "connection refused"},
		{"time to notice", "{path: /readyz, after: 3s}", func(at time.Duration, p record.Probe) record.Probe {
			if early(at) {
				return dead(p)
			}
			return p
		}, verdict.Pass, "100% of 14 answers"},
		{"not in time", "{path: /readyz, after: 2s}", func(at time.Duration, p record.Probe) record.Probe {
			if early(at) {
				return dead(p)
			}
			return p
		}, verdict.Fail, "14 of 16 answers"},
		{"body", "{path: /, contains: tea}", nil, verdict.Pass, ""},
		{"another body", "{path: /, contains: coffee}", nil, verdict.Fail, `the body lacks "coffee"`},
		{"header", "{path: /, has: {retry-after: ''}}", nil, verdict.Pass, ""},
		{"another header", "{path: /, has: {retry-after: 2}}", nil, verdict.Fail, `header retry-after is "1"`},
		{"no header", "{path: /, has: {x-mark: ''}}", nil, verdict.Fail, `header x-mark is ""`},
		{"JSON", "{path: /, json: {items.0.sku: tea, n: 3}}", nil, verdict.Pass, ""},
		{"another value", "{path: /, json: {items.0.sku: mate}}", nil, verdict.Fail, `items.0.sku is "tea", not "mate"`},
		{"too few", "{path: /, after: 9s}", nil, verdict.Inconclusive, "2 looks in the window, 3 are needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := probed(func(at time.Duration) record.Probe {
				p := record.Probe{OK: true, Value: 200, Header: map[string]string{"Retry-After": "1"}, Text: `{"items": [{"sku": "tea"}], "n": 3}`}
				if tt.change != nil {
					p = tt.change(at, p)
				}
				return p
			})
			f := check(t, "{id: x, http: {service: payments, "+tt.expect[1:]+"}", w)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Contains(t, f.Why, tt.says)
		})
	}
}

func TestHTTPShare(t *testing.T) {
	w := probed(func(at time.Duration) record.Probe { return record.Probe{OK: at%time.Second == 0, Value: 200} })
	assert.Equal(t, verdict.Pass, check(t, "{id: x, http: {service: payments, path: /}, atLeast: 50%}", w).Verdict)
	assert.Equal(t, verdict.Fail, check(t, "{id: x, http: {service: payments, path: /}, atLeast: 51%}", w).Verdict)
	assert.Equal(t, verdict.Pass, check(t, "{id: x, http: {service: payments, path: /}, atMost: 50%}", w).Verdict)
	none := newWorld()
	assert.Equal(t, verdict.Inconclusive, check(t, "{id: x, http: {service: payments, path: /}}", none).Verdict, "nobody has looked")
}

func TestCommandCheck(t *testing.T) {
	w := probed(func(time.Duration) record.Probe { return record.Probe{OK: true, Value: 1, Text: "3 letters"} })
	assert.Equal(t, verdict.Pass, check(t, "{id: x, command: {run: [a], exit: 1, contains: letters}}", w).Verdict)
	assert.Contains(t, check(t, "{id: x, command: {run: [a]}}", w).Why, "exit code 1: 3 letters")
	assert.Contains(t, check(t, "{id: x, command: {run: [a], exit: 1, contains: none}}", w).Why, `the output lacks "none"`)
	killed := probed(func(time.Duration) record.Probe { return record.Probe{Note: "killed after 1s"} })
	assert.Equal(t, verdict.Fail, check(t, "{id: x, command: {run: [a], exit: 0}}", killed).Verdict)
	assert.Equal(t, verdict.Inconclusive, check(t, "{id: x, command: {run: [a]}}", newWorld()).Verdict)
}

func TestSQLCheck(t *testing.T) {
	text := "3"
	w := probed(func(time.Duration) record.Probe { return record.Probe{OK: true, Value: 3, Text: text} })
	assert.Equal(t, verdict.Pass, check(t, "{id: x, sql: {env: DB, query: select 1}, atMost: 3}", w).Verdict)
	assert.Equal(t, verdict.Fail, check(t, "{id: x, sql: {env: DB, query: select 1}, below: 3}", w).Verdict)
	text = ""
	assert.Contains(t, check(t, "{id: x, sql: {env: DB, query: select 1}, atMost: 3}", w).Why, `no number: ""`)
	assert.Equal(t, verdict.Inconclusive, check(t, "{id: x, sql: {env: DB, query: select 1}, atMost: 3}", newWorld()).Verdict)
}

func TestBadLooks(t *testing.T) {
	for expect, want := range map[string]string{
		"{id: x, http: {path: /}}":                                                      "http: wants a service or an edge of the client, one of them",
		"{id: x, http: {service: payment, path: /}}":                                    `service: unknown service "payment" (did you mean "payments"?)`,
		"{id: x, http: {service: payments, port: ops, path: /}}":                        `port: payments has no port "ops", ports: http`,
		"{id: x, http: {edge: gateway -> payments, path: /}}":                           `edge: "gateway -> payments" is no http edge of the client`,
		"{id: x, http: {service: payments, path: /, status: 2}}":                        "status: want three digits such as 503 or 2xx",
		"{id: x, command: {run: [a, '${nats.http}']}}":                                  `run: ${nats.http}: port: nats has no port "http", ports: client`,
		"{id: x, command: {run: [a], at: 1s, every: 1s}}":                               "at: a program that runs again and again has no one instant",
		"{id: x, command: {run: [a], at: 10s}}":                                         "at: 10s is not before the end of phase fault, which lasts 10s",
		"{id: x, sql: {env: DB, query: select 1, at: 6s}, atMost: 1, during: baseline}": "at: 6s is not before the end of phase baseline, which lasts 6s",
		"{id: x, sql: {query: select 1}, atMost: 1}":                                    "sql: wants env or service, one of them",
		"{id: x, sql: {service: nats, port: client, query: select 1}, atMost: 1}":       "service: nats has no database: in the system file, so squall may not log in to it",
	} {
		ps := verdict.Check(scenario(t, expect), system(t))
		require.Len(t, ps, 1, expect)
		assert.Contains(t, ps[0].Error(), want)
	}
}

// A scenario of steps alone is tried once they are done, and not by a step that failed.
func TestStepsAreEvidence(t *testing.T) {
	sc := scenario(t, "{id: x, slo: checkout}")
	sc.Spec.Faults = nil
	sc.Spec.Steps = []spec.Step{{ID: "switch", During: "fault", Act: spec.Act{Command: &spec.CommandAct{Run: []string{"a"}}}}}
	judged := func(states ...record.StepState) verdict.Result {
		w := newWorld()
		w.events = nil
		w.edit = func(r *record.Run) {
			for i, s := range states {
				r.Steps = append(r.Steps, record.StepEvent{T: fault + time.Duration(i)*time.Second, Step: record.Step{ID: "switch", State: s, Error: "exit code 1"}})
			}
		}
		return judge(t, sc, w)
	}
	assert.Equal(t, verdict.Pass, judged(record.StepBegun, record.StepDone).Verdict)
	assert.Equal(t, verdict.Inconclusive, judged().Verdict)
	assert.Equal(t, verdict.Inconclusive, judged(record.StepBegun).Verdict)
	failed := judged(record.StepBegun, record.StepFailed)
	assert.Equal(t, verdict.Error, failed.Verdict)
	assert.Equal(t, "step switch failed: exit code 1", find(t, failed, "step-done:switch").Why)
}
