package reports

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

func TestQuantileIsAnOrderStatistic(t *testing.T) {
	xs := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	assert.EqualValues(t, 5.0, quantile(xs, 0.5))
	assert.EqualValues(t, 10.0, quantile(xs, 0.95))
	assert.EqualValues(t, 1.0, quantile(xs[:1], 0.99))
	assert.True(t, math.IsNaN(float64(quantile(nil, 0.5))))
}

func TestPhasesCompared(t *testing.T) {
	ps := perPhase(plot.run(t))
	var names []string
	for _, p := range ps {
		names = append(names, p.Name)
		assert.InDelta(t, 20, p.rate(), 0.01, p.Name)
	}
	assert.Equal(t, judgedPhases, names)
	assert.Equal(t, [3]int{160, 20, 20}, [3]int{ps[1].OK, ps[1].Failed, ps[1].Unknown})
	assert.InDelta(t, 0.8, ps[1].success(), 1e-9)
	assert.EqualValues(t, 0.4, ps[1].P50)
	assert.EqualValues(t, 0.4, ps[1].P95)
	assert.EqualValues(t, 2, ps[1].Waited, "those whose reply was lost waited longest")
}

func TestSecondsHoldEveryOperationThatEnded(t *testing.T) {
	run := plot.run(t)
	n := 0
	for _, b := range perBucket(run, time.Second, make([]bool, len(run.Exchanges))) {
		n += b.all()
	}
	assert.Equal(t, len(run.Operations), n)
}

func TestRetriesAreBeyondTheFirstOfACall(t *testing.T) {
	run := &record.Run{Phases: []record.Span{{Name: "fault", From: 0, To: time.Minute}}}
	run.Header.Started = time.Unix(0, 0)
	call := func(op, method, path string) record.Exchange {
		return record.Exchange{Edge: "a -> b", Op: op, Method: method, Path: path, Status: 200}
	}
	run.Exchanges = []record.Exchange{
		call("1", "POST", "/x"), call("1", "POST", "/x"), call("1", "POST", "/x"),
		call("1", "DELETE", "/x"), call("1", "POST", "/y"), call("2", "POST", "/x"),
		call("", "POST", "/x"), call("", "POST", "/x"), // nobody knows whose they are
	}
	got := edges(Input{Run: run}, retries(Input{Run: run}))[0].Phases[1]
	assert.Equal(t, traffic{Calls: 8, Retries: 2}, got)
	assert.InDelta(t, 0.25, got.RetryShare(), 1e-9)
}

func TestReactionsComeFromFindings(t *testing.T) {
	ps := []phaseStats{{Name: "baseline"}, {Name: "fault"}, {Name: "recovery"}}
	rows := reactions(ps, verdict.Result{Findings: []verdict.Finding{
		{ID: "opens", Kind: "breaker", Edge: "a -> b", Measured: "never opened"},
		{ID: "closes", Kind: "breaker", Edge: "a -> b", Measured: "opened after 1.2s, no trial call, not closed"},
		{ID: "well", Kind: "recovery", Measured: "not recovered yet"},
		{ID: "soon", Kind: "recovery", Measured: "recovered after 0s"},
		{ID: "slo", Kind: "slo", Measured: "recovered after 3s"},
	}})
	assert.Empty(t, reactions(ps[:1], verdict.Result{Findings: []verdict.Finding{{Kind: "breaker", Edge: "a -> b", Measured: "closed after 1s"}}}), "no row for a phase that never was")
	got := map[string][]string{}
	for _, r := range rows {
		for _, c := range r.Cells {
			got[r.Name] = append(got[r.Name], c.Value)
		}
	}
	assert.Equal(t, map[string][]string{
		"breaker opened on a -> b": {"", "never opened", "", "", "after 1.2s", ""},
		"breaker closed on a -> b": {"", "", "not closed"},
		"recovered (well)":         {"", "", "not recovered yet"},
		"recovered (soon)":         {"", "", "at once"},
	}, got)
}

func TestChanges(t *testing.T) {
	assert.Equal(t, "=", ratio(100, 100.2))
	assert.Equal(t, "×3.0", ratio(1, 3))
	assert.Equal(t, "-50%", ratio(2, 1))
	assert.Empty(t, ratio(0, 1))
	assert.Equal(t, "-95 points", points(1, 0.05))
	assert.Equal(t, "=", points(1, 1))
}

func TestPercentNeverRoundsALossAway(t *testing.T) {
	assert.Equal(t, "100%", percent(1.0))
	assert.Equal(t, "99.999%", percent(0.9999999))
	assert.Equal(t, "99.7%", percent(0.997))
	assert.Equal(t, "–", percent(math.NaN()))
}

func TestFaultKeepsTheErrorItHad(t *testing.T) {
	run := &record.Run{Faults: []record.FaultEvent{
		{T: time.Second, Fault: record.Fault{ID: "f", State: record.FaultInjected}},
		{T: 2 * time.Second, Fault: record.Fault{ID: "f", State: record.FaultFailed, Error: "observe: refused"}},
		{T: 3 * time.Second, Fault: record.Fault{ID: "f", State: record.FaultReverted}},
	}}
	assert.Equal(t, "observe: refused", standings(run)[0].Error)
}
