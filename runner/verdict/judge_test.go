package verdict_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
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

// What the load offered is told by what began, whatever became of it.
func TestLoadIsCountedByItsBeginnings(t *testing.T) {
	for name, edit := range map[string]func(*record.Run){
		"iterations begun under the fault end after it": func(r *record.Run) {
			for _, s := range r.Scrapes {
				for i := range s.V {
					if s.V[i].ID == iterationsID && r.T(s.At) >= fault && r.T(s.At) <= recovery {
						s.V[i].V = rate * record.Float(fault.Seconds())
					}
				}
			}
		},
		"journeys are shorter under the fault": func(r *record.Run) {
			for _, o := range r.Operations {
				if !in(r.T(o.At), fault, recovery) {
					o.First, o.Name = false, "orders"
					r.Operations = append(r.Operations, o, o)
				}
			}
		},
		"iterations without an operation": func(r *record.Run) {
			r.Operations = slices.DeleteFunc(r.Operations, func(o record.Operation) bool { return in(r.T(o.At), fault, fault+time.Second) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.edit = edit
			f := find(t, judge(t, scenario(t, still), w), "load")
			assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
		})
	}
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
	t.Parallel()
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
	again := newWorld()
	for _, id := range []string{"again", "dead"} {
		kind, on := "net-latency", edge
		if id == "dead" {
			kind, on = "proc-kill", "payments"
		}
		again.events = append(again.events, faultEvents(id, kind, on, record.Receipt{Hits: 1, Unit: "requests"})...)
	}
	text := strings.Replace(scenarioText("", still, ""), "  steady:", "    - {id: again, kind: net-latency, on: payments -> psp-primary}\n    - {id: dead, kind: proc-kill, on: payments}\n  steady:", 1)
	fmt.Fprintf(&b, "pass, the same fault twice\n    %s\n", judge(t, parse(t, text), again).Sentence)
	say("fail", "{id: opens, breaker: {edge: payments -> psp-primary, opensWithin: 3s}}", newWorld())
	say("two fail", "{id: x, slo: checkout}\n    - {id: opens, breaker: {edge: payments -> psp-primary}}", failing(5))
	doubtful := failing(5)
	doubtful.edit = func(r *record.Run) { silence(r, "payments", fault+time.Second, end) }
	say("fail on a sick machine", "{id: x, slo: checkout}", doubtful)
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
	t.Parallel()
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

// The fault phase ends early only if every assertion is decided for good.
func TestFaultPhaseIsSettled(t *testing.T) {
	t.Parallel()
	const p95 = "{id: x, promql: 'histogram_quantile(0.95, sum(rate(duration_seconds[$window])))', "
	const served = `{id: x, promql: 'sum(increase(squall_operations_total{outcome="ok"}[$window])) / sum(increase(squall_operations_total[$window]))', `
	const opens = "{id: b, breaker: {edge: payments -> psp-primary, opensWithin: 3s}}"
	at := func(stop time.Duration, w *world) *world { w.stop = stop; return w }
	for _, tt := range []struct {
		name, expect string
		world        *world
		want         bool
	}{
		{"all has failed, but the rest could mend it", still, at(fault+time.Second, failing(100)), false},
		{"all has failed, and the rest could not mend it", still, at(fault+7*time.Second, failing(1)), true},
		{"a ceiling that is broken", "{id: x, slo: checkout, atMost: 10%}", at(fault+7*time.Second, newWorld()), true},
		{"a half has failed", still, at(fault+9500*time.Millisecond, failing(2)), true},
		{"what is met may still break", still, at(fault+9500*time.Millisecond, newWorld()), false},
		{"what is not sure may still be met", "{id: x, slo: checkout, atLeast: 60%, atMost: 90%}", at(fault+9500*time.Millisecond, failing(1)), false},
		{"a quantile that is too high for good", p95 + "below: 20ms}", at(fault+7*time.Second, withLatencies(newWorld(), end)), true},
		{"a quantile that the rest could mend", p95 + "below: 20ms}", at(fault+time.Second, withLatencies(newWorld(), end)), false},
		{"a quantile that is met", p95 + "below: 1s}", at(fault+9500*time.Millisecond, withLatencies(newWorld(), end)), false},
		{"a share that is broken for good", served + "atLeast: 90%}", at(fault+9*time.Second, failing(2)), true},
		{"another is open", still + "\n    - {id: y, promql: 'vector(1)', below: 3}", at(fault+7*time.Second, failing(1)), false},
		{"another is about the recovery", still + "\n    - {id: r, recovery: {slo: checkout, within: 5s}}", at(fault+7*time.Second, failing(1)), false},
		{"another is about the books", still + "\n    - " + strings.Replace(bookkept, "id: x", "id: y", 1), at(fault+7*time.Second, failing(1)), false},
		{"a breaker that opened", opens, at(fault+5*time.Second, tripping(time.Second, 2*time.Second, 1)), true},
		{"a breaker that has not opened yet", opens, at(fault+500*time.Millisecond, tripping(time.Second, 2*time.Second, 1)), false},
		{"the fault has not bitten", opens, func() *world {
			w := at(fault+5*time.Second, tripping(time.Second, 2*time.Second, 1))
			w.events = faultEvents("slow", "net-latency", edge, record.Receipt{})
			return w
		}(), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, ps := verdict.NewJudge(scenario(t, tt.expect), system(t))
			require.Empty(t, ps)
			assert.Equal(t, tt.want, j.Settled(context.Background(), tt.world.run()))
		})
	}
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
	t.Parallel()
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
	assert.Contains(t, f.Why, "broken for 3s until 11.75s: ")
}

func TestCheckReportsEveryMistake(t *testing.T) {
	for _, tt := range []struct{ expect, want string }{
		{"{id: x, brekaer: {}}", `s.yaml:14:15: unknown check kind "brekaer" (did you mean "breaker"?)`},
		{"{id: x, slo: chekout}", `s.yaml:14:20: unknown SLO "chekout" (did you mean "checkout"?)`},
		{"{id: x, promql: up}", "s.yaml:14:7: promql needs a bound: atLeast, atMost, above or below"},
		{"{id: x, breaker: {edge: payments -> psp-primry}}", `s.yaml:14:31: unknown edge payments -> psp-primry (did you mean "payments -> psp-primary"?)`},
		{"{id: x, breaker: {edge: payments -> nats}}", "s.yaml:14:31: edge payments -> nats speaks nats; breaker needs requests, so an http edge"},
		{"{id: x, breaker: {edge: payments -> psp-primary}, atLeast: 3}", "s.yaml:14:7: breaker takes no atLeast, atMost, above or below; see squall explain breaker"},
		{"{id: x, breaker: {edge: payments -> psp-primary}, during: fault}", "s.yaml:14:65: during: breaker chooses its own window"},
		{"{id: x, breaker: {edge: payments -> psp-primary, closesWithin: 10s}}", "s.yaml:14:70: closesWithin: takes up to 11s to judge, but phase recovery lasts 10s"},
		{"{id: x, recovery: {slo: checkout, within: 9s}}", "s.yaml:14:49: within: takes up to 11s to judge, but phase recovery lasts 10s"},
		{"{id: x, retry: {edge: payments -> psp-primary}}", "s.yaml:14:22: retry needs attemptsAtMost, amplificationAtMost, expectNone, spacingGrows, jitter, finalNotRepeated or keyed"},
		{"{id: x, retry: {edge: payments -> psp-primary, attempts: 3}}", `s.yaml:14:54: unknown field "attempts" in retry`},
		{"{id: x, dlq: {queue: dql, fault: slow}}", `s.yaml:14:28: unknown ledger source "dql" (did you mean "dlq"?)`},
		{"{id: x, dlq: {queue: dlq, fault: sloww}}", `s.yaml:14:40: unknown fault "sloww" (did you mean "slow"?)`},
		{"{id: x, alert: {fires: none}}", "s.yaml:14:22: alert needs rule or slo, one of them"},
		{"{id: x, alert: {slo: checkout, rule: Fails}}", "alert needs rule or slo, one of them"},
		{"{id: x, alert: {rule: Failed}}", `s.yaml:14:29: unknown alert "Failed" (did you mean "Fails"?)`},
		{"{id: x, alert: {rule: Fails, budgetAtMost: 5%}}", "budgetAtMost: a rule has no budget"},
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
	assert.True(t, slices.IsSorted(names))
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

func TestBalancedBooks(t *testing.T) {
	j, ps := verdict.NewJudge(scenario(t, bookkept), system(t))
	require.Empty(t, ps)
	run := *kept(record.OK, done(op(419))...).run()
	rows := run.Audit
	run.Audit, run.End = nil, nil // it goes on: its books are not in the record yet
	assert.True(t, j.Balanced(t.Context(), &run, rows, nil))
	assert.False(t, j.Balanced(t.Context(), &run, rows[:len(rows)-1], nil), "one is not there yet")
	assert.Empty(t, run.Audit, "the run is as it was")
}
