package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// rising is a load of 10/s that rises to 20/s at the fault, and to 40/s 5 s later.
// From broken on every nth operation fails.
func rising(broken time.Duration, n int) *world {
	const second = fault + 5*time.Second
	w := newWorld()
	w.started = func(t time.Duration) bool {
		i := int(t * rate / time.Second)
		switch {
		case in(t, second, recovery):
			return true
		case in(t, fault, recovery):
			return i%2 == 0
		}
		return i%4 == 0
	}
	i := 0
	w.outcome = func(t time.Duration) record.Outcome {
		if in(t, broken, recovery) {
			if i++; i%n == 0 {
				return record.Failed
			}
		}
		return record.OK
	}
	w.edit = func(r *record.Run) {
		r.Loads[1].Arrival = 10
		r.Loads[1].Stages = []record.Stage{{At: fault, Arrival: 20}, {At: second, Arrival: 40}, {At: recovery, Arrival: 10}}
	}
	return w
}

func staged(t *testing.T, expect string) *spec.Scenario {
	t.Helper()
	sc := scenario(t, "{id: x, slo: checkout}")
	second := spec.Stage{At: spec.Duration(5 * time.Second), Arrival: spec.Rate{PerSecond: 40}}
	sc.Spec.Load.Stages = []spec.Stage{{Arrival: spec.Rate{PerSecond: 20}}, second}
	sc.Spec.Expect = parse(t, scenarioText("", expect, "")).Spec.Expect
	return sc
}

func TestCapacity(t *testing.T) {
	const second = fault + 5*time.Second
	for _, tt := range []struct {
		name, bound string
		world       *world
		verdict     verdict.Verdict
		measured    string
		why         string
	}{
		{"everything carried", "atLeast: 40", rising(end, 1), verdict.Pass, "40 iterations/s (95%: 40 or more)",
			"the knee is at 40 iterations/s (95%: 40 or more): no stage was beyond it"},
		{"beyond the last stage nothing is known", "atLeast: 41", rising(end, 1), verdict.Inconclusive, "40 iterations/s (95%: 40 or more)", ""},
		{"the second breaks", "atLeast: 20", rising(second, 2), verdict.Pass, "20 iterations/s", "the knee is at 20 iterations/s: at 40/s checkout was 50%"},
		{"the second breaks, and more is wanted", "atLeast: 30", rising(second, 2), verdict.Fail, "20 iterations/s",
			"the knee is at 20 iterations/s: at 40/s checkout was 50%, not at least 30 iterations/s"},
		{"the first breaks", "atLeast: 20", rising(fault, 2), verdict.Fail, "0 iterations/s", "the knee is at 0 iterations/s: at 20/s checkout was 50%, not at least 20 iterations/s"},
		{"the second is on the edge", "atLeast: 40", rising(second, 12), verdict.Inconclusive, "20 iterations/s (95%: 20 or more)", ""},
		{"the second is on the edge, and the first is enough", "atLeast: 20", rising(second, 12), verdict.Pass, "20 iterations/s (95%: 20 or more)", ""},
		{"too few events", "minSamples: 500, atLeast: 20", rising(end, 1), verdict.Inconclusive, "0 iterations/s (95%: 0 or more)", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := find(t, judge(t, staged(t, "{id: x, capacity: {slos: [checkout], target: 90%}, "+tt.bound+"}"), tt.world), "x")
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.measured, f.Measured)
			if tt.why != "" {
				assert.Equal(t, tt.why, f.Why)
			}
			if assert.NotEmpty(t, f.Details) {
				assert.Contains(t, f.Details[0], "20 iterations/s: ")
			}
		})
	}
	f := find(t, judge(t, staged(t, "{id: x, capacity: {slos: [checkout], target: 90%}, atLeast: 20}"), rising(second, 2)), "x")
	assert.Equal(t, []string{
		"20 iterations/s: carried; checkout 100% of 90 events, +10 points",
		"40 iterations/s: not carried; checkout 50% of 180 events, -40 points",
	}, f.Details)
	f = find(t, judge(t, staged(t, "{id: x, capacity: {slos: [made-up]}, atLeast: 20}"), rising(end, 1)), "x")
	assert.Equal(t, verdict.Inconclusive, f.Verdict)
	assert.Contains(t, f.Why, "no_such_total")
}

func TestCapacityWantsStagesThatRise(t *testing.T) {
	_, ps := verdict.NewJudge(scenario(t, "{id: x, capacity: {slos: [checkout]}, atLeast: 20}"), system(t))
	assert.ErrorContains(t, ps, "capacity needs load.stages that rise")
	sc := staged(t, "{id: x, capacity: {slos: [chekout]}, atLeast: 20}")
	sc.Spec.Load.Stages[1].Arrival.PerSecond = 15
	_, ps = verdict.NewJudge(sc, system(t))
	assert.ErrorContains(t, ps, `unknown SLO "chekout"`)
	assert.ErrorContains(t, ps, "15/s is not above 20/s")
}

// What is due follows the stages: the load as it was asked for is no starved one,
// and one that stays behind them is.
func TestStagesAreDue(t *testing.T) {
	sc := staged(t, "{id: x, slo: checkout, atLeast: 10%}")
	f := find(t, judge(t, sc, rising(end, 1)), verdict.LoadLaw)
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
	assert.Contains(t, f.Details, "fault: 300 of 300 iterations, 0 dropped")

	lazy := rising(end, 1)
	lazy.started = func(t time.Duration) bool { return int(t*rate/time.Second)%4 == 0 }
	f = find(t, judge(t, sc, lazy), verdict.LoadLaw)
	assert.Equal(t, verdict.Inconclusive, f.Verdict)
	assert.Contains(t, f.Why, "fault: 100 of 300 iterations")
}

// A load that changes is something that is tried, and its end is what is recovered from.
func TestStagesAlone(t *testing.T) {
	sc := staged(t, "{id: x, recovery: {slo: checkout, within: 5s}}")
	sc.Spec.Faults = nil
	w := rising(fault, 2)
	w.events = nil
	f := find(t, judge(t, sc, w), "x")
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
	assert.Contains(t, f.Measured, "recovered after")
	assert.Contains(t, judge(t, staged(t, "{id: x, slo: checkout, atLeast: 90%}"), rising(end, 1)).Sentence, "(412 requests affected) and the load went to 20/s and 40/s")

	w.edit = func(r *record.Run) {}
	f = find(t, judge(t, sc, w), "x")
	assert.Equal(t, "not judged: no step was done and the load was not changed", f.Why)
}
