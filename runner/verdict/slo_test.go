package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// failing makes every nth operation of the fault phase fail.
func failing(n int) *world {
	w := newWorld()
	i := 0
	w.outcome = func(t time.Duration) record.Outcome {
		if in(t, fault, recovery) {
			if i++; i%n == 0 {
				return record.Failed
			}
		}
		return record.OK
	}
	return w
}

func TestSLO(t *testing.T) {
	t.Parallel()
	quiet := newWorld()
	quiet.started = func(t time.Duration) bool { return !in(t, fault+time.Second, recovery) }
	for _, tt := range []struct {
		name, expect string
		world        *world
		verdict      verdict.Verdict
		measured     string
		margin       string
		why          string
	}{
		{"pass", "{id: x, slo: checkout, atLeast: 99%}", newWorld(), verdict.Pass, "100% (95%: 99.05% to 100%)", "+1 points", "400 of 400 events were good"},
		{"the target is the default bound", "{id: x, slo: checkout}", failing(20), verdict.Fail, "95% (95%: 92.4% to 96.74%)", "-4 points",
			"checkout was 95%, not at least 99%: 380 of 400 events were good"},
		{"exactly on the bound", "{id: x, slo: checkout, atLeast: 95%}", failing(20), verdict.Inconclusive, "95% (95%: 92.4% to 96.74%)", "0 points",
			"380 of 400 events were good: not sure to be at least 95%, it is on the bound"},
		{"exactly on a strict bound", "{id: x, slo: checkout, above: 95%}", failing(20), verdict.Inconclusive, "95% (95%: 92.4% to 96.74%)", "0 points",
			"380 of 400 events were good: not sure to be above 95%, it is on the bound"},
		{"bad over total", "{id: x, slo: checkout-bad}", failing(20), verdict.Fail, "95% (95%: 92.4% to 96.74%)", "-4 points",
			"checkout-bad was 95%, not at least 99%: 380 of 400 events were good"},
		{"nothing good at all", "{id: x, slo: checkout, atLeast: 1%}", failing(1), verdict.Fail, "0% (95%: 0% to 0.95%)", "-1 points",
			"checkout was 0%, not at least 1%: 0 of 400 events were good"},
		{"other phase", "{id: x, slo: checkout, during: recovery}", failing(20), verdict.Pass, "100% (95%: 99.05% to 100%)", "+1 points", "400 of 400 events were good"},
		{"too few events", "{id: x, slo: checkout}", quiet, verdict.Inconclusive, "", "", "40 events, 50 are needed"},
		{"own minimum", "{id: x, slo: checkout, minSamples: 40, atLeast: 90%}", quiet, verdict.Pass, "100% (95%: 91.24% to 100%)", "+10 points", "40 of 40 events were good"},
		{"too few to tell, above", "{id: x, slo: checkout, minSamples: 40}", quiet, verdict.Inconclusive, "100% (95%: 91.24% to 100%)", "+1 points",
			"40 of 40 events were good: not sure to be at least 99%, 381 events would decide"},
		{"too few to tell, below", "{id: x, slo: checkout, atLeast: 96%}", failing(20), verdict.Inconclusive, "95% (95%: 92.4% to 96.74%)", "-1 points",
			"380 of 400 events were good: not sure to be at least 96%, 1476 events would decide"},
		{"metric nobody has", "{id: x, slo: made-up}", newWorld(), verdict.Inconclusive, "", "", "no data for no_such_total"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, tt.world)
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Equal(t, tt.measured, f.Measured)
			assert.Equal(t, tt.margin, f.Margin)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}

func TestSLOShowsTheWorstSecond(t *testing.T) {
	w := newWorld()
	w.outcome = func(t time.Duration) record.Outcome {
		if in(t, 12*time.Second, 13*time.Second) {
			return record.Failed
		}
		return record.OK
	}
	f := check(t, "{id: x, slo: checkout}", w)
	require.NotNil(t, f.Worst)
	assert.Equal(t, 13*time.Second, *f.Worst)
	assert.Len(t, f.Series, 10)
	assert.Equal(t, verdict.Window{From: fault, To: recovery}, *f.Window)
}

func TestPromQL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, expect string
		verdict      verdict.Verdict
		measured     string
		margin       string
		why          string
	}{
		{"pass", "{id: x, promql: 'sum(rate(squall_operations_total[$window]))', atMost: 50}", verdict.Pass, "40", "20% below", "measured 40"},
		{"fail", "{id: x, promql: 'sum(rate(squall_operations_total[$window]))', below: 32}", verdict.Fail, "40", "25% above", "measured 40, not below 32"},
		{"boundary, inclusive", "{id: x, promql: 'sum(rate(squall_operations_total[$window]))', atMost: 40}", verdict.Pass, "40", "at the bound", "measured 40"},
		{"boundary, strict", "{id: x, promql: 'sum(rate(squall_operations_total[$window]))', below: 40}", verdict.Fail, "40", "at the bound", "measured 40, not below 40"},
		{"unit of the bound", "{id: x, promql: 'avg(avg_over_time(queue_depth[$window])) / 10', below: 500ms}", verdict.Pass, "400ms", "20% below", "measured 400ms"},
		{"every series", "{id: x, promql: 'max_over_time(queue_depth[$window])', below: 4}", verdict.Fail, `5 {instance="payments", job="payments", shard="b"}`, "25% above",
			`measured 5 {instance="payments", job="payments", shard="b"}, not below 4 (1 of 2 series)`},
		{"absent metric", "{id: x, promql: 'sum(rate(no_such_metric_total[$window]))', below: 1}", verdict.Inconclusive, "", "", "no data for no_such_metric_total"},
		{"absent is not zero", "{id: x, promql: 'sum(rate(squall_operations_total{outcome=\"lost\"}[$window]))', atMost: 1}", verdict.Inconclusive, "", "",
			`no data for squall_operations_total{outcome="lost"}`},
		{"not a number", "{id: x, promql: 'sum(rate(squall_operations_total{outcome=\"failed\"}[$window])) / 0', below: 1}", verdict.Inconclusive, "", "",
			"the expression is not a number (NaN): nothing happened in the window, or a division by zero"},
		{"too few samples", "{id: x, promql: 'vector(1)', below: 2}", verdict.Inconclusive, "", "", "0 samples, 10 are needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, withInstance(newWorld()))
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.measured, f.Measured)
			assert.Equal(t, tt.margin, f.Margin)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}

// withInstance gives the service's series the labels a scraper adds.
func withInstance(w *world) *world {
	w.edit = func(r *record.Run) {
		for i := range r.Scrapes {
			for j := range r.Scrapes[i].New {
				if r.Scrapes[i].Source == "payments" {
					l := r.Scrapes[i].New[j].Labels
					l["instance"], l["job"] = "payments", "payments"
				}
			}
		}
	}
	return w
}

func TestPromQLSeries(t *testing.T) {
	f := check(t, "{id: x, promql: 'sum(rate(squall_operations_total{outcome=\"failed\"}[$window]))', below: 5}", failing(20))
	assert.Equal(t, verdict.Pass, f.Verdict)
	assert.Contains(t, f.Expr, "[10s] anchored")
	assert.Len(t, f.Series, 17, "from 2 s into the window, every 500 ms")
	assert.NotNil(t, f.Worst)
}

func TestRecovery(t *testing.T) {
	t.Parallel()
	until := func(healed time.Duration) *world {
		w := newWorld()
		w.outcome = func(t time.Duration) record.Outcome {
			if in(t, fault, healed) {
				return record.Unknown
			}
			return record.OK
		}
		return w
	}
	silent := newWorld()
	silent.started = func(t time.Duration) bool { return t < recovery }
	relapse := until(recovery)
	relapse.outcome = func(t time.Duration) record.Outcome {
		if in(t, fault, recovery) || in(t, recovery+time.Second, recovery+3*time.Second) {
			return record.Failed
		}
		return record.OK
	}
	for _, tt := range []struct {
		name     string
		world    *world
		verdict  verdict.Verdict
		measured string
		why      string
	}{
		{"at once", until(recovery), verdict.Pass, "recovered after 0s", "checkout was at least 99% again 0s after the last fault was gone"},
		{"in time", until(recovery + 1500*time.Millisecond), verdict.Pass, "recovered after 1.5s", "checkout was at least 99% again 1.5s after the last fault was gone"},
		{"too late", until(recovery + 6*time.Second), verdict.Fail, "recovered after 6s",
			"checkout was at least 99% again only 6s after the last fault was gone (needed within 5s)"},
		{"a relapse does not count", relapse, verdict.Pass, "recovered after 3s", "checkout was at least 99% again 3s after the last fault was gone"},
		{"never", until(settle), verdict.Fail, "not recovered", "checkout was not at least 99% again for 2s within 10s"},
		{"no events", silent, verdict.Inconclusive, "", "no events of checkout after the last fault"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, recovery: {slo: checkout, within: 5s}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.measured, f.Measured)
			assert.Equal(t, tt.why, f.Why)
			assert.False(t, f.Pending)
		})
	}
}
