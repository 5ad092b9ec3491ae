package verdict_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// Each test here tries to get a green out of nothing.

// Every law of evidence, each with a run that would be green without it.
func TestNoVacuousGreen(t *testing.T) {
	t.Parallel()
	drop := func(s record.FaultState) func(*record.Run) {
		return func(r *record.Run) {
			kept := r.Faults[:0:0]
			for _, e := range r.Faults {
				if e.State != s {
					kept = append(kept, e)
				}
			}
			r.Faults = kept
		}
	}
	for _, tt := range []struct {
		name    string
		law     string
		change  func(*world)
		verdict verdict.Verdict
		why     string
	}{
		{"no receipt", "fault-bit:slow", func(w *world) { w.events = faultEvents("slow", "net-latency", edge, record.Receipt{Unit: "requests"}) }, verdict.Inconclusive,
			"net-latency on payments -> psp-primary never bit: nothing was affected"},
		{"fault failed", "fault-bit:slow", func(w *world) {
			w.edit = func(r *record.Run) {
				r.Faults = append(r.Faults, record.FaultEvent{T: recovery, Fault: record.Fault{ID: "slow", State: record.FaultFailed, Error: "proxy gone"}})
			}
		}, verdict.Error, "net-latency on payments -> psp-primary failed: proxy gone"},
		{"no fault at all", "fault-bit:slow", func(w *world) { w.events = nil }, verdict.Inconclusive, "net-latency on payments -> psp-primary was never injected"},
		{"not seen gone", "fault-gone:slow", func(w *world) { w.edit = drop(record.FaultGone) }, verdict.Error,
			"net-latency on payments -> psp-primary was reverted but not seen gone"},
		{"not reverted", "fault-gone:slow", func(w *world) {
			w.edit = func(r *record.Run) { drop(record.FaultGone)(r); drop(record.FaultReverted)(r) }
		}, verdict.Error, "net-latency on payments -> psp-primary was not reverted: squall heal"},
		{"gap", "record", func(w *world) { w.edit = func(r *record.Run) { r.Gaps = []string{"stream wire holds 3 lines of 4"} } }, verdict.Inconclusive,
			"the record has gaps: stream wire holds 3 lines of 4"},
		{"no end", "record", func(w *world) { w.edit = func(r *record.Run) { r.End = nil } }, verdict.Inconclusive, "the record has no end"},
		{"silent source", "scrapes", func(w *world) {
			w.edit = func(r *record.Run) {
				for i := range r.Scrapes {
					if r.Scrapes[i].Source == "payments" {
						r.Scrapes[i] = record.Scrape{At: r.Scrapes[i].At, Source: "payments", Error: "refused"}
					}
				}
			}
		}, verdict.Inconclusive, "no metrics from payments"},
		{"source that dies", "scrapes", func(w *world) {
			w.edit = func(r *record.Run) { silence(r, "payments", fault+time.Second, end) }
		}, verdict.Inconclusive, "payments gave no metrics for 19.25s from 8.8s on"},
		{"source that dies and comes back", "scrapes", func(w *world) {
			w.edit = func(r *record.Run) { silence(r, "payments", fault+time.Second, fault+4*time.Second) }
		}, verdict.Inconclusive, "payments gave no metrics for 3.25s from 8.8s on"},
		{"source that misses a beat", "scrapes", func(w *world) {
			w.edit = func(r *record.Run) { silence(r, "payments", fault+time.Second, fault+2500*time.Millisecond) }
		}, verdict.Pass, "every source gave metrics"},
		{"scrapes out of order", "scrapes", func(w *world) {
			w.edit = func(r *record.Run) { r.Scrapes = append(r.Scrapes, r.Scrapes[0]) }
		}, verdict.Error, ""},
		{"dropped iterations", "load", func(w *world) {
			w.dropped = func(t time.Duration) int { return max(0, min(3, int((t-fault)/time.Second))) }
		}, verdict.Inconclusive, "the load generator was starved in fault: 400 of 400 iterations, 3 dropped"},
		{"dropped in the bound", "load", func(w *world) {
			w.dropped = func(t time.Duration) int { return max(0, min(2, int((t-fault)/time.Second))) }
		}, verdict.Pass, "the load was as asked for in every phase"},
		{"slow generator", "load", func(w *world) {
			i := 0
			w.started = func(time.Duration) bool { i++; return i%20 != 0 }
		}, verdict.Inconclusive, "the load generator was starved in baseline: 228 of 240 iterations, 0 dropped"},
		{"no load", "load", func(w *world) {
			w.edit = func(r *record.Run) { r.Operations, r.Scrapes, r.Exchanges = nil, nil, nil }
		}, verdict.Inconclusive, "no iterations of the load were recorded"},
		{"never flowing", "load", func(w *world) { w.edit = func(r *record.Run) { r.Loads = r.Loads[:1] } }, verdict.Inconclusive, "the load generator never delivered"},
		{"generator died", "load", func(w *world) {
			w.edit = func(r *record.Run) { r.Loads[2].Error = "script exception" }
		}, verdict.Error, "the load generator failed: script exception"},
		{"unsteady", "steady-held", func(w *world) {
			w.outcome = func(t time.Duration) record.Outcome {
				if t < fault {
					return record.Failed
				}
				return record.OK
			}
		}, verdict.Inconclusive, "ok: steady state not met: checkout was 0%, not at least 99%: 0 of 240 events were good"},
		{"not steady, not injected", "end", func(w *world) {
			w.edit = func(r *record.Run) {
				r.End = &record.End{Reason: record.EndNotSteady, Error: "steady state not met: ok"}
			}
		}, verdict.Inconclusive, "steady state not met: ok; nothing was injected"},
		{"aborted", "end", func(w *world) {
			w.edit = func(r *record.Run) { r.End = &record.End{Reason: record.EndAborted, Error: "too-bad"} }
		}, verdict.Aborted, "too-bad"},
		{"interrupted", "end", func(w *world) {
			w.edit = func(r *record.Run) { r.End = &record.End{Reason: record.EndInterrupted} }
		}, verdict.Aborted, "by a person or a signal"},
		{"infrastructure", "end", func(w *world) {
			w.edit = func(r *record.Run) { r.End = &record.End{Reason: record.EndError, Error: "no port"} }
		}, verdict.Error, "no port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, verdict.Pass, judge(t, scenario(t, still), newWorld()).Verdict, "without the change it is green")
			w := newWorld()
			tt.change(w)
			res := judge(t, scenario(t, still), w)
			f := find(t, res, tt.law)
			assert.Equal(t, tt.verdict, f.Verdict)
			if tt.why != "" {
				assert.Equal(t, tt.why, f.Why)
			}
			assert.Equal(t, tt.verdict == verdict.Pass, res.Verdict == verdict.Pass, res.Sentence)
			assert.NotEqual(t, verdict.Fail, res.Verdict, "want of evidence breaks no assertion")
		})
	}
}

// silence makes a source unreachable for a while.
func silence(r *record.Run, source string, from, to time.Duration) {
	for i, s := range r.Scrapes {
		if s.Source == source && in(r.T(s.At), from, to) {
			r.Scrapes[i] = record.Scrape{At: s.At, Source: source, Error: "refused"}
		}
	}
}

// A source that a fault is aimed at may fall silent.
func TestTargetsOfFaultsMayFallSilent(t *testing.T) {
	sc := scenario(t, still)
	w := newWorld()
	w.edit = func(r *record.Run) { silence(r, "payments", fault+time.Second, fault+4*time.Second) }
	require.Equal(t, verdict.Inconclusive, judge(t, sc, w).Verdict)
	sc.Spec.Faults[0].Kind, sc.Spec.Faults[0].On = "proc-kill", "payments"
	assert.Equal(t, verdict.Pass, find(t, judge(t, sc, w), "scrapes").Verdict)
}

func TestNothingIsJudgedWithoutAFault(t *testing.T) {
	w := failing(2)
	w.events = nil
	res := judge(t, scenario(t, still), w)
	assert.Equal(t, verdict.Inconclusive, find(t, res, "x").Verdict)
	assert.Equal(t, "not judged: no fault was injected", find(t, res, "x").Why)
}

func TestScenarioWithoutAssertions(t *testing.T) {
	sc := scenario(t, still)
	sc.Spec.Expect = nil
	res := judge(t, sc, newWorld())
	assert.Equal(t, verdict.Inconclusive, res.Verdict)
	assert.Equal(t, "inconclusive: nothing is asserted", res.Sentence)
	sc = scenario(t, still)
	sc.Spec.Steady = nil
	assert.Equal(t, verdict.Inconclusive, judge(t, sc, newWorld()).Verdict)
}

// examples are assertions that hold in a world where all is there to be seen,
// one or more of every kind.
var examples = map[string][]string{
	"alert":        {"{id: x, alert: {slo: checkout, fires: none}}", "{id: x, alert: {slo: checkout, fires: ticket}}"},
	"agree":        {"{id: x, agree: {sources: [charges, orders]}}"},
	"breaker":      {"{id: x, breaker: {edge: payments -> psp-primary}}", "{id: x, breaker: {edge: payments -> psp-primary, opensWithin: 3s, closesWithin: 5s}}", "{id: x, breaker: {edge: payments -> psp-primary, staysClosed: true}}"},
	"bulkhead":     {"{id: x, bulkhead: {edge: payments -> psp-primary, unaffected: [client -> gateway], successAtLeast: 0%}}", "{id: x, bulkhead: {edge: payments -> psp-primary, unaffected: [client -> gateway], slowdownAtMost: 9}}"},
	"capacity":     {"{id: x, capacity: {slos: [checkout], target: 0%}, atLeast: 0}"},
	"command":      {"{id: x, command: {run: [a]}}"},
	"compare":      {"{id: x, compare: 'sum(rate(squall_operations_total[$window]))', atLeast: 0.9}"},
	"dlq":          {"{id: x, dlq: {queue: dlq, fault: slow}}"},
	"failover":     {"{id: x, failover: {edge: payments -> psp-primary, gapAtMost: 2s}}", "{id: x, failover: {edge: payments -> psp-primary, unansweredAtMost: 0}}", "{id: x, failover: {edge: payments -> psp-primary, leavesWithin: 3s}}", "{id: x, failover: {edge: payments -> psp-primary, dialsAtMost: 9}}"},
	"fallback":     {"{id: x, fallback: {dependency: payments -> psp-primary, edge: client -> gateway, path: /, contains: a}}"},
	"http":         {"{id: x, http: {service: payments, path: /}}"},
	"ledger":       {"{id: x, ledger: {operation: checkout, accountedBy: [charges], exactlyOnce: true}}", "{id: x, ledger: {operation: checkout, terminal: orders}}"},
	"linearizable": {"{id: x, linearizable: {write: put, read: get}}"},
	"log":          {"{id: x, log: {service: payments}, atMost: 0}", "{id: x, log: {service: payments, explains: payments -> psp-primary}, atLeast: 0%}"},
	"promql":       {"{id: x, promql: 'sum(rate(squall_operations_total[$window]))', above: 0}", "{id: x, promql: 'sum(increase(squall_operations_total{outcome=\"failed\"}[$window])) or vector(0)', below: 1}", "{id: x, promql: 'histogram_quantile(0.99, sum(rate(k6_http_req_duration_seconds[$window])))', below: 10s}"},
	"recovery":     {"{id: x, recovery: {slo: checkout, within: 5s}}"},
	"retry": {"{id: x, retry: {edge: payments -> psp-primary, attemptsAtMost: 3}}", "{id: x, retry: {edge: payments -> psp-primary, expectNone: true}}",
		"{id: x, retry: {edge: payments -> psp-primary, spacingGrows: true, jitter: true}}", "{id: x, retry: {edge: payments -> psp-primary, finalNotRepeated: true, keyed: true}}"},
	"sql":     {"{id: x, sql: {env: DB, query: select 1}, atMost: 1}"},
	"writers": {"{id: x, writers: {books: charges}}"},
	"slo":     {"{id: x, slo: checkout}", "{id: x, slo: checkout, atLeast: 0%}", "{id: x, slo: checkout-bad, atMost: 100%}"},
	"trace":   {"{id: x, trace: {edge: payments -> psp-primary, shows: [{service: payments}]}, atLeast: 0%}"},
	"timeout": {"{id: x, timeout: {edge: payments -> psp-primary, waitAtMost: 1s}}", "{id: x, timeout: {edge: gateway -> payments, noWorkAfter: 1s}}"},
}

// No kind of check is content, or alarmed, where there is nothing to see: not
// with bounds that everything meets, and not with phases of no length.
func TestNoKindJudgesNothing(t *testing.T) {
	t.Parallel()
	for _, k := range verdict.Builtin() {
		assert.NotEmpty(t, examples[k.Name], "examples has none of kind %s", k.Name)
	}
	worlds := map[string]func(*record.Run){
		"nothing was recorded": func(*record.Run) {},
		"phases of no length": func(r *record.Run) {
			for i := range r.Phases {
				r.Phases[i].To = r.Phases[i].From
			}
		},
		"sources without series": func(r *record.Run) {
			for at := time.Duration(0); at <= settle; at += 250 * time.Millisecond {
				r.Scrapes = append(r.Scrapes, record.Scrape{At: nanos(at), Source: "k6", Up: true}, record.Scrape{At: nanos(at), Source: "payments", Up: true})
			}
		},
		"dead sources": func(r *record.Run) {
			for at := time.Duration(0); at <= settle; at += 250 * time.Millisecond {
				r.Scrapes = append(r.Scrapes, record.Scrape{At: nanos(at), Source: "k6"}, record.Scrape{At: nanos(at), Source: "payments"})
			}
		},
	}
	for kind, expects := range examples {
		for _, expect := range expects {
			for name, edit := range worlds {
				t.Run(fmt.Sprintf("%s/%s", kind, name), func(t *testing.T) {
					w := newWorld()
					w.edit = func(r *record.Run) {
						r.Operations, r.Exchanges, r.Scrapes, r.Audit = nil, nil, nil, nil
						if kind == "capacity" {
							r.Loads[1].Stages = []record.Stage{{At: fault, Arrival: 50}, {At: recovery, Arrival: rate}}
						}
						edit(r)
					}
					sc := parse(t, strings.Replace(scenarioText("", expect, ""), "/s}", "/s, stages: [{arrival: 50/s}]}", 1))
					res := judge(t, sc, w)
					assert.Equal(t, verdict.Inconclusive, find(t, res, "x").Verdict, "%s: %s", expect, find(t, res, "x").Why)
					assert.Equal(t, verdict.Inconclusive, res.Verdict, res.Sentence)
				})
			}
		}
	}
}
