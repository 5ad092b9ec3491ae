package verdict_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

var update = flag.Bool("update", false, "rewrite golden files")

const still = "{id: x, slo: checkout}"

// Every law of evidence, each with a run that would be green without it.
func TestNoVacuousGreen(t *testing.T) {
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

func TestProcessThatDiesByItselfFails(t *testing.T) {
	exit := func(service string, at time.Duration) *world {
		w := newWorld()
		w.edit = func(r *record.Run) {
			r.Processes = append(r.Processes, record.ProcessEvent{T: at, Process: record.Process{Service: service, Event: "exited", Detail: "exit code 2"}})
		}
		return w
	}
	res := judge(t, scenario(t, still), exit("payments", fault+time.Second))
	assert.Equal(t, verdict.Fail, res.Verdict)
	assert.Contains(t, find(t, res, "processes").Why, "payments died at")
	assert.Equal(t, verdict.Pass, judge(t, scenario(t, still), exit("payments", time.Hour)).Verdict, "the end of the system is no death")
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

// The load fell short in the generator's own count, although slow operations
// end in a later phase than they began in.
func TestSlowOperationsAreNotMissing(t *testing.T) {
	w := newWorld()
	w.edit = func(r *record.Run) {
		for i := range r.Operations {
			if in(r.T(r.Operations[i].At), recovery-2*time.Second, recovery) {
				r.Operations = append(r.Operations[:i], r.Operations[i+1:]...) // cut off: only the wire saw it
				return
			}
		}
	}
	assert.Equal(t, verdict.Pass, find(t, judge(t, scenario(t, still), w), "load").Verdict)
}

func TestWorstWins(t *testing.T) {
	sc := scenario(t, "{id: x, slo: checkout, below: 10%}")
	assert.Equal(t, 1, judge(t, sc, newWorld()).ExitCode())
	for _, tt := range []struct {
		name string
		edit func(*record.Run)
		want int
	}{
		{"fail outranks inconclusive", func(r *record.Run) { r.Gaps = []string{"g"} }, 1},
		{"fail outranks aborted", func(r *record.Run) { r.End.Reason = record.EndInterrupted }, 1},
		{"error outranks fail", func(r *record.Run) { r.End.Reason = record.EndError }, 4},
		{"dirty outranks all", func(r *record.Run) { r.End.Reason, r.End.Dirty = record.EndError, []string{"stage left"} }, 6},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.edit = tt.edit
			assert.Equal(t, tt.want, judge(t, sc, w).ExitCode())
		})
	}
}

func TestSentences(t *testing.T) {
	var b strings.Builder
	say := func(name, expect string, w *world) {
		fmt.Fprintf(&b, "%s\n    %s\n", name, judge(t, scenario(t, expect), w).Sentence)
	}
	edited := func(edit func(*record.Run)) *world {
		w := newWorld()
		w.edit = edit
		return w
	}
	say("pass", still, newWorld())
	say("pass with recovery", "{id: x, recovery: {slo: checkout, within: 5s}}", newWorld())
	say("fail", "{id: opens, breaker: {edge: payments -> psp-primary, opensWithin: 3s}}", newWorld())
	say("two fail", "{id: x, slo: checkout}\n    - {id: opens, breaker: {edge: payments -> psp-primary}}", failing(5))
	say("never bit", still, func() *world {
		w := newWorld()
		w.events = faultEvents("slow", "net-latency", edge, record.Receipt{})
		return w
	}())
	say("made-up metric", "{id: x, promql: 'sum(rate(no_such_total[$window]))', below: 1}", newWorld())
	say("not steady", still, edited(func(r *record.Run) {
		r.Faults, r.End = nil, &record.End{Reason: record.EndNotSteady, Error: "steady state not met: ok: 0%"}
	}))
	say("aborted", still, edited(func(r *record.Run) { r.End = &record.End{Reason: record.EndAborted, Error: "guardrail too-bad: 3%"} }))
	say("error", still, edited(func(r *record.Run) { r.End = &record.End{Reason: record.EndError, Error: "start system: port in use"} }))
	say("dirty", still, edited(func(r *record.Run) { r.End.Dirty = []string{"stage slow left", "psp-primary stopped"} }))
	golden(t, "testdata/sentences.golden", b.String())
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestFindingsAreInOrder(t *testing.T) {
	sc := parse(t, scenarioText("", still, "{id: limit, slo: checkout, below: 5%}"))
	var ids []string
	for _, f := range judge(t, sc, newWorld()).Findings {
		ids = append(ids, f.Group+" "+f.ID)
	}
	assert.Equal(t, []string{"evidence end", "evidence steady-held", "evidence load", "evidence fault-bit:slow", "evidence fault-gone:slow",
		"evidence processes", "evidence record", "evidence scrapes", "evidence assertions", "steady ok", "expect x", "guardrail limit"}, ids)
}

// A run that is judged while it grows gets the same verdict at its end as one
// that is judged once.
func TestJudgingAlongTheWayChangesNothing(t *testing.T) {
	sc := scenario(t, "{id: x, slo: checkout}\n    - {id: b, breaker: {edge: payments -> psp-primary, opensWithin: 3s, closesWithin: 5s}}\n    - {id: r, recovery: {slo: checkout, within: 5s}}")
	make := func() *world { return tripping(time.Second, 2*time.Second, 1) }
	follow, ps := verdict.NewJudge(sc, system(t))
	require.Empty(t, ps)
	var run record.Run
	for stop := baseline; stop < end; stop += 1300 * time.Millisecond {
		w := make()
		w.stop = stop
		run = *w.run()
		res := follow.Judge(context.Background(), &run)
		assert.NotEqual(t, verdict.Pass, res.Verdict, "a run that has not ended cannot pass")
	}
	run = *make().run()
	assert.Equal(t, judge(t, sc, make()), follow.Judge(context.Background(), &run))
}

func TestRecoveryIsWaitedFor(t *testing.T) {
	sc := scenario(t, "{id: b, breaker: {edge: payments -> psp-primary, opensWithin: 3s, closesWithin: 5s}}\n    - {id: r, recovery: {slo: checkout, within: 5s}}\n    - {id: l, ledger: {operation: checkout, accountedBy: [charges]}}")
	recovered := func(stop time.Duration) bool {
		w := tripping(time.Second, 3*time.Second, 1)
		w.stop = stop
		j, ps := verdict.NewJudge(sc, system(t))
		require.Empty(t, ps)
		return j.Recovered(context.Background(), w.run())
	}
	assert.False(t, recovered(fault-time.Second), "no fault yet")
	assert.False(t, recovered(recovery-time.Second), "the fault stands")
	assert.False(t, recovered(recovery+2*time.Second), "the breaker is open")
	assert.True(t, recovered(recovery+4500*time.Millisecond), "closed and recovered; the books come later")
}

func TestPendingLedgerNamesItsReason(t *testing.T) {
	w := newWorld()
	w.stop = recovery + time.Second
	f := check(t, bookkept, w)
	assert.True(t, f.Pending)
	assert.Equal(t, "the books are read after the load", f.Why)
}

func TestSteadyGatesTheFault(t *testing.T) {
	for bad, want := range map[bool]verdict.Verdict{false: verdict.Pass, true: verdict.Inconclusive} {
		w := newWorld()
		w.stop, w.events = fault, nil
		w.outcome = func(time.Duration) record.Outcome {
			if bad {
				return record.Failed
			}
			return record.OK
		}
		j, ps := verdict.NewJudge(scenario(t, still), system(t))
		require.Empty(t, ps)
		found := j.Steady(context.Background(), w.run())
		require.Len(t, found, 1)
		assert.Equal(t, want, found[0].Verdict, found[0].Why)
	}
}

func TestGuardrail(t *testing.T) {
	sc := parse(t, scenarioText("", still, "{id: limit, slo: checkout, below: 50%, for: 3s}"))
	broken := func(stop, from, to time.Duration) *world {
		w := newWorld()
		w.stop = stop
		w.outcome = func(t time.Duration) record.Outcome {
			if in(t, from, to) {
				return record.Failed
			}
			return record.OK
		}
		return w
	}
	live := func(w *world) verdict.Verdict {
		j, ps := verdict.NewJudge(sc, system(t))
		require.Empty(t, ps)
		return j.Guardrails(context.Background(), w.run())[0].Verdict
	}
	assert.Equal(t, verdict.Inconclusive, live(broken(baseline+time.Second, 0, end)), "not watched for 3 s yet")
	assert.Equal(t, verdict.Pass, live(broken(12*time.Second, 11*time.Second, end)), "broken for 1 s")
	assert.Equal(t, verdict.Fail, live(broken(14*time.Second, 10*time.Second, end)))

	f := find(t, judge(t, sc, newWorld()), "limit")
	assert.Equal(t, verdict.Pass, f.Verdict)
	assert.Equal(t, "never broken for 3s", f.Why)
	f = find(t, judge(t, sc, broken(end, 10*time.Second, 15*time.Second)), "limit")
	assert.Equal(t, verdict.Fail, f.Verdict, "it was broken and the run went on")
	aborted := broken(end, 10*time.Second, 15*time.Second)
	aborted.edit = func(r *record.Run) { r.End.Reason = record.EndAborted }
	f = find(t, judge(t, sc, aborted), "limit")
	assert.Equal(t, verdict.Aborted, f.Verdict)
	assert.Contains(t, f.Why, "broken for 3s until 12s: ")
}

func TestCheckReportsEveryMistake(t *testing.T) {
	for _, tt := range []struct{ expect, want string }{
		{"{id: x, brekaer: {}}", `s.yaml:14:7: unknown check kind "brekaer" (did you mean "breaker"?)`},
		{"{id: x, slo: chekout}", `s.yaml:14:20: unknown SLO "chekout" (did you mean "checkout"?)`},
		{"{id: x, promql: up}", "s.yaml:14:7: promql needs a bound: atLeast, atMost, above or below"},
		{"{id: x, breaker: {edge: payments -> psp-primry}}", `s.yaml:14:31: unknown edge payments -> psp-primry (did you mean "payments -> psp-primary"?)`},
		{"{id: x, breaker: {edge: payments -> nats}}", "s.yaml:14:31: edge payments -> nats speaks nats; breaker needs requests, so an http edge"},
		{"{id: x, breaker: {edge: payments -> psp-primary}, atLeast: 3}", "s.yaml:14:7: breaker takes no atLeast, atMost, above or below; see squall explain breaker"},
		{"{id: x, breaker: {edge: payments -> psp-primary}, during: fault}", "s.yaml:14:65: during: breaker chooses its own window"},
		{"{id: x, breaker: {edge: payments -> psp-primary, closesWithin: 10s}}", "s.yaml:14:70: closesWithin: takes up to 11s to judge, but phase recovery lasts 10s"},
		{"{id: x, recovery: {slo: checkout, within: 9s}}", "s.yaml:14:49: within: takes up to 11s to judge, but phase recovery lasts 10s"},
		{"{id: x, retry: {edge: payments -> psp-primary}}", "s.yaml:14:22: retry needs attemptsAtMost, amplificationAtMost or expectNone: true"},
		{"{id: x, retry: {edge: payments -> psp-primary, attempts: 3}}", `s.yaml:14:54: unknown field "attempts" in retry`},
		{"{id: x, dlq: {queue: dql, fault: slow}}", `s.yaml:14:28: unknown ledger source "dql" (did you mean "dlq"?)`},
		{"{id: x, dlq: {queue: dlq, fault: sloww}}", `s.yaml:14:40: unknown fault "sloww" (did you mean "slow"?)`},
		{"{id: x, ledger: {operation: checkout}}", "s.yaml:14:23: ledger needs accountedBy, balancedBy or terminal"},
		{"{id: x, ledger: {operation: checkout, accountedBy: [charges, resevations]}}", `unknown ledger source "resevations" (did you mean "reservations"?)`},
	} {
		t.Run(tt.expect, func(t *testing.T) {
			assert.ErrorContains(t, verdict.Check(scenario(t, tt.expect), system(t)).Err(), tt.want)
		})
	}
	err := verdict.Check(scenario(t, "{id: x, promql: 'histogram_quantil(0.9, up)', below: 1}"), system(t)).Err()
	assert.ErrorContains(t, err, "histogram_quantile")
	err = verdict.Check(parse(t, scenarioText("{id: a, ledger: {operation: checkout, terminal: orders}}", still, "{id: g, retry: {edge: payments -> psp-primary, expectNone: true}}")), system(t)).Err()
	assert.ErrorContains(t, err, "ledger looks at more than the baseline")
	assert.ErrorContains(t, err, "a guardrail is an slo or a promql check, not retry")
}

func TestKindsAreDocumented(t *testing.T) {
	var names []string
	for _, k := range verdict.Builtin() {
		names = append(names, k.Name)
		assert.NotEmpty(t, k.Summary, k.Name)
		assert.NotEmpty(t, k.Doc, k.Name)
		assert.NotNil(t, k.Params, k.Name)
	}
	assert.Equal(t, []string{"breaker", "dlq", "ledger", "promql", "recovery", "retry", "slo"}, names)
}

func TestCancelledContextIsAnError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("enough"))
	j, ps := verdict.NewJudge(scenario(t, still), system(t))
	require.Empty(t, ps)
	assert.Equal(t, verdict.Error, j.Judge(ctx, newWorld().run()).Verdict)
}

// A file that spec accepts is either judged or refused; nothing panics.
func FuzzExpect(f *testing.F) {
	for _, seed := range []string{still, bookkept, "{id: x, promql: 'sum(rate(x[$window]))', below: 800ms}",
		"{id: x, breaker: {edge: a -> b, opensWithin: 3s}}", "{id: x, retry: {edge: payments -> psp-primary, path: '[', attemptsAtMost: 1}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, expect string) {
		sc, ps := spec.Parse("s.yaml", []byte(scenarioText("", expect, "")))
		if sc == nil || len(ps) > 0 {
			return
		}
		if j, ps := verdict.NewJudge(sc, system(t)); len(ps) == 0 {
			w := newWorld()
			w.stop = fault + time.Second
			j.Judge(context.Background(), w.run())
		}
	})
}
