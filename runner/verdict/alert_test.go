package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func TestAlert(t *testing.T) {
	t.Parallel()
	failing := func(from, to time.Duration, every int) func(*world) {
		return func(w *world) {
			n := 0
			w.outcome = func(at time.Duration) record.Outcome {
				if n++; in(at, from, to) && n%every == 0 {
					return record.Failed
				}
				return record.OK
			}
		}
	}
	outage := failing(fault, recovery, 1)
	for _, tt := range []struct {
		name     string
		expect   string
		change   func(*world)
		verdict  verdict.Verdict
		measured string
		why      string
	}{
		// 14.4 % of 20 s are 2.88 s of outage; the first failures of a phase are seen with the scrape after them.
		{"an outage pages", "{slo: checkout, hour: 20s, within: 4s}", outage, verdict.Pass,
			"page at 14.4 times over 1h and 5m, 3s after the fault, 7.44% of the month's budget spent, 0.04% in real time", ""},
		{"too late", "{slo: checkout, hour: 20s, within: 2s}", outage, verdict.Fail, "", "page at 14.4 times over 1h and 5m fired 3s after the fault, not within 2s"},
		{"a blip does not page", "{slo: checkout, hour: 20s, fires: page}", failing(fault, fault+time.Second, 1), verdict.Fail, "", "no page would have fired: checkout never burnt its budget fast enough"},
		{"nothing is to fire", "{slo: checkout, hour: 20s, fires: none}", func(*world) {}, verdict.Pass, "no alert, 0% of the month's budget spent, 0% in real time", ""},
		{"something fires", "{slo: checkout, hour: 20s, fires: none}", outage, verdict.Fail, "", ""},
		{"a page is more than a ticket", "{slo: checkout, hour: 20s, fires: ticket}", outage, verdict.Pass, "", ""},
		{"the slower page", "{slo: checkout, hour: 12s, fires: page}", failing(fault, settle, 3), verdict.Pass, "", ""},
		{"a slow burn pages nobody", "{slo: checkout, hour: 12s, fires: page}", failing(fault, settle, 50), verdict.Fail, "", ""},
		{"crying wolf", "{slo: checkout, hour: 20s}", failing(baseline, recovery, 1), verdict.Fail, "", "page at 14.4 times over 1h and 5m fired at 5.0s, before the fault"},
		{"dear", "{slo: checkout, hour: 20s, budgetAtMost: 5%}", outage, verdict.Fail, "", "7.44% of the month's error budget was spent, not at most 5%"},
		{"within the budget", "{slo: checkout, hour: 20s, budgetAtMost: 8%}", outage, verdict.Pass, "", ""},
		{"no such metric", "{slo: made-up}", outage, verdict.Inconclusive, "", ""},
		{"no fault", "{slo: checkout}", func(w *world) { w.events = nil }, verdict.Inconclusive, "", ""},
		{"few events", "{slo: checkout}", func(w *world) {
			n := 0
			w.started = func(time.Duration) bool { n++; return n%6 == 0 }
		}, verdict.Inconclusive, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			tt.change(w)
			f := check(t, "{id: x, alert: "+tt.expect+"}", w)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			if tt.measured != "" {
				assert.Equal(t, tt.measured, f.Measured)
			}
			if tt.why != "" {
				assert.Equal(t, tt.why, f.Why)
			}
		})
	}
}

// The world's failures are 40 a second while it lasts, its queue is 3 deep or 5.
func TestAlertRule(t *testing.T) {
	t.Parallel()
	const failures = `sum by (operation) (rate(squall_operations_total{outcome="failed"}[1s])) > 20`
	sys := system(t)
	sys.Alerts = map[string]spec.AlertRule{
		"Failing":   {Expr: failures, For: 2 * time.Second},
		"Patient":   {Expr: failures, For: 12 * time.Second},
		"Slow":      {Expr: strings.ReplaceAll(failures, "1s", "1h"), For: 30 * time.Minute},
		"Queue":     {Expr: "queue_depth > 4"},
		"Deep":      {Expr: "queue_depth > 10"},
		"Nonsense":  {Expr: "no_such_metric > 4"},
		"Misspelt":  {Expr: `squall_operations_total{outcome="lost"} > 4`},
		"Histogram": {Expr: "squall_operations_total{", For: time.Second},
	}
	outage := func(from, to time.Duration) *world {
		w := newWorld()
		w.outcome = func(at time.Duration) record.Outcome {
			if in(at, from, to) {
				return record.Failed
			}
			return record.OK
		}
		return w
	}
	flapping := newWorld()
	flapping.outcome = func(at time.Duration) record.Outcome {
		if in(at, fault, recovery) && (at-fault)%(3*time.Second) < 1500*time.Millisecond {
			return record.Failed
		}
		return record.OK
	}
	for _, tt := range []struct {
		name, expect string
		world        *world
		verdict      verdict.Verdict
		measured     string
		why          string
	}{
		{"fires", "{rule: Failing, within: 4s}", outage(fault, recovery), verdict.Pass, `Failing{operation="checkout"}, 2.75s after the fault`, ""},
		{"fires too late", "{rule: Failing, within: 2s}", outage(fault, recovery), verdict.Fail, "", `Failing{operation="checkout"} fired 2.75s after the fault, not within 2s`},
		{"has not held long enough", "{rule: Patient}", outage(fault, recovery), verdict.Fail, "no Patient", "Patient would not have fired: its condition never held for 12s"},
		{"begins anew whenever it did not hold", "{rule: Failing}", flapping, verdict.Fail, "no Failing", ""},
		{"has windows that are longer than a run", "{rule: Slow}", outage(fault, recovery), verdict.Fail, "", "Slow would not have fired: its condition never held for 30m0s"},
		{"has them scaled", "{rule: Slow, hour: 12s}", outage(fault, recovery), verdict.Pass, `Slow{operation="checkout"}, 12.25s after the fault`, ""},
		{"does not fire", "{rule: Failing, fires: none}", newWorld(), verdict.Pass, "no Failing", ""},
		{"fires and must not", "{rule: Failing, fires: none}", outage(fault, recovery), verdict.Fail, "", `Failing{operation="checkout"} fired 2.75s after the fault`},
		{"cries wolf", "{rule: Failing}", outage(baseline, recovery), verdict.Fail, "", `Failing{operation="checkout"} fired at 4.8s, before the fault`},
		{"fires at once without a for", "{rule: Queue}", newWorld(), verdict.Fail, "", `Queue{shard="b"} fired at 2.0s, before the fault`},
		{"has data and no result", "{rule: Deep, fires: none}", newWorld(), verdict.Pass, "no Deep", ""},
		{"reads a metric that nobody has", "{rule: Nonsense, fires: none}", newWorld(), verdict.Inconclusive, "", "no data for no_such_metric"},
		{"reads a series that nobody has", "{rule: Misspelt, fires: none}", newWorld(), verdict.Inconclusive, "", `no data for squall_operations_total{outcome="lost"} when the fault came`},
		{"cannot be read", "{rule: Histogram}", newWorld(), verdict.Error, "", ""},
		{"no fault", "{rule: Failing, fires: none}", func() *world { w := newWorld(); w.events = nil; return w }(), verdict.Inconclusive, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := find(t, judgeOn(t, sys, scenario(t, "{id: x, alert: "+tt.expect+"}"), tt.world), "x")
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			if tt.measured != "" {
				assert.Equal(t, tt.measured, f.Measured)
			}
			if tt.why != "" {
				assert.Equal(t, tt.why, f.Why)
			}
		})
	}
}

func TestAlertSaysWhatItWants(t *testing.T) {
	for expect, want := range map[string]string{
		"{slo: checkout, within: 4s}": "a page within 4s", "{slo: checkout, fires: none}": "no alert",
		"{rule: Fails, within: 4s}": "Fails within 4s", "{rule: Fails}": "Fails", "{rule: Fails, fires: none}": "no Fails",
	} {
		assert.Contains(t, check(t, "{id: x, alert: "+expect+"}", newWorld()).Expected, want)
	}
}
