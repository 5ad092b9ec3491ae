package verdict

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "alert",
		Summary: "An alert of the system, or on an SLO's error budget, would have fired in time, or not at all.",
		Doc: `With rule, evaluates that alert of the system's own Prometheus rule files: it fires once its expression has had a result for
as long as its "for" says, for the same labels. It knows nothing of the time before the run, and recording rules are not evaluated.
A run may be too short for its windows: hour then scales all of them, and absent leaves them as they are.

With slo, evaluates multi-window burn-rate alerts (Google SRE Workbook, chapter 5) on the SLO's events, as a monitoring system would have:
page at 14.4 times the budget over 1h and 5m, and at 6 times over 6h and 30m; ticket at 3 times over 1d and 2h, and at once the budget
over 3d and 6h. Both windows of a rule must burn that fast. A run is shorter than those windows, so time is scaled: hour says how
long an hour is in the run (20s if absent). Before the run all was well, with the traffic of the baseline. The severity page is met by a page
only, ticket by either. It must not fire before the fault, whichever it is. The share of the month's (28 d) error budget that was spent is given
as the run is scaled, which budgetAtMost bounds, and as it was in real time.
Too little evidence: no fault; of an SLO, fewer than 50 events in the baseline or after it; of a rule, a metric that no source shows.`,
		Params:     alert{},
		Fixed:      true,
		During:     "run",
		MinSamples: 50,
		NeedsBooks: true,
		New:        newAlert,
	})
}

// burnRules are the alerts of the SRE Workbook, in hours.
var burnRules = []struct {
	severity    string
	burn        float64 // times the rate that spends the budget in a month
	long, short float64 // windows
	words       string
}{
	{"page", 14.4, 1, 1.0 / 12, "14.4 times over 1h and 5m"},
	{"page", 6, 6, 0.5, "6 times over 6h and 30m"},
	{"ticket", 3, 24, 2, "3 times over 1d and 2h"},
	{"ticket", 1, 72, 6, "once over 3d and 6h"},
}

const (
	alertStep = 250 * time.Millisecond
	month     = 28 * 24 // hours
)

type alert struct {
	Rule         string         `yaml:"rule" doc:"Alert of the system's rule files; or slo."`
	SLO          string         `yaml:"slo" doc:"SLO whose error budget is watched; or rule."`
	Hour         spec.Duration  `yaml:"hour" spec:"min=12s" doc:"How long an hour of the alert's windows is in the run; at least 12s, so that 5 minutes are a second. Absent: 20s for slo, an hour for rule."`
	Fires        string         `yaml:"fires" spec:"default=page,enum=page|ticket|none" doc:"What must fire: page wakes somebody, ticket waits for the morning (a page will do); none: nothing may, at any time. A rule fires or it does not."`
	Within       spec.Duration  `yaml:"within" doc:"Longest time from the first fault to the alert; absent: while the run goes on."`
	BudgetAtMost *spec.Quantity `yaml:"budgetAtMost" doc:"Share of the month's error budget that may be spent, as the run is scaled; of slo only."`

	events events
	budget bounds
	rule   spec.AlertRule
}

func newAlert(d *Declared) Checker {
	a := &alert{}
	d.decode(a)
	switch {
	case (a.Rule == "") == (a.SLO == ""):
		d.fail("", "alert needs rule or slo, one of them", "")
	case a.Rule != "":
		a.ofRule(d)
	default:
		a.ofSLO(d)
	}
	if a.Fires == "none" && a.Within > 0 {
		d.fail("within", "within: an alert that must not fire has no time to", "")
	}
	return a
}

func (a *alert) ofSLO(d *Declared) {
	a.events, a.Hour = events{sloOf(d, "slo", a.SLO)}, cmp.Or(a.Hour, spec.Duration(20*time.Second))
	if a.BudgetAtMost != nil {
		a.budget = boundsOf(spec.Check{AtMost: a.BudgetAtMost})
	}
}

// firing is an alert that went off.
type firing struct {
	t     time.Duration
	page  bool
	words string
}

func (a *alert) Judge(ctx context.Context, v *View, f *Finding) {
	base, _, found := v.phase("baseline")
	struck, injected := firstState(v.Run, "injected", anyFault)
	if !found || !injected {
		f.unclear("no fault was injected, so there is nothing to be alarmed at")
		return
	}
	if a.Rule != "" {
		a.judgeRule(ctx, v, f, struck)
		return
	}
	if base.length() < alertStep {
		f.unclear("phase baseline took no time")
		return
	}
	n, err := a.events.over(ctx, v.metrics, base)
	var none absentError
	if errors.As(err, &none) {
		f.unclear(none.Error())
		return
	}
	if err != nil {
		f.broken(err)
		return
	}
	counts, err := a.events.each(ctx, v.metrics, *f.Window, alertStep, alertStep)
	if err != nil {
		f.broken(err)
		return
	}
	h := history{from: f.Window.From, rate: n.total / base.length().Seconds()}
	h.add(counts, f.Window.To)
	after := h.total[len(h.total)-1] - n.total
	f.Samples = int(math.Round(min(n.total, after)))
	if f.Samples < f.MinSamples {
		f.unclear(fmt.Sprintf("%s in the baseline and %s after it, %d are needed", plural(int(n.total), "event"), trimmed(after, 0), f.MinSamples))
		return
	}
	a.conclude(f, a.firings(f, h), h, struck)
}

// firings are the first alert of each rule.
func (a *alert) firings(f *Finding, h history) (out []firing) {
	hour := time.Duration(a.Hour).Seconds()
	allowed := 1 - a.events.Target
	fired := make([]bool, len(burnRules))
	for i := range h.total {
		t := f.Window.From + time.Duration(i)*alertStep
		for j, r := range burnRules {
			short, long := h.ratio(i, r.short*hour), h.ratio(i, r.long*hour)
			if j == 0 {
				f.Series = append(f.Series, Point{t, min(short, long) / allowed})
			}
			if !fired[j] && min(short, long) > r.burn*allowed {
				fired[j] = true
				out = append(out, firing{t, r.severity == "page", r.severity + " at " + r.words})
			}
		}
	}
	return out
}

func (a *alert) conclude(f *Finding, fired []firing, h history, struck time.Duration) {
	bad := h.bad[len(h.bad)-1]
	perHour := h.rate * (1 - a.events.Target) * month
	scaled, real := bad/(perHour*time.Duration(a.Hour).Seconds()), bad/(perHour*3600)
	spent := claim{measured: fmt.Sprintf("%s of the month's budget spent, %s in real time", percent(scaled), percent(real))}.unless("")
	if a.budget != nil {
		spent.expected, spent.margin = "budget spent "+a.budget.String(), a.budget.margin(scaled)
		if !a.budget.met(scaled) {
			spent.verdict, spent.why = Fail, fmt.Sprintf("%s of the month's error budget was spent, not %s", percent(scaled), a.budget)
		}
	}
	f.decide([]claim{a.alarmed(f, fired, struck), spent})
}

// alarmed judges what fired, which the finding lists.
func (a *alert) alarmed(f *Finding, fired []firing, struck time.Duration) claim {
	var first, early *firing
	for i := range fired {
		at := fired[i]
		f.Details = append(f.Details, fmt.Sprintf("%.1fs %s", at.t.Seconds(), at.words))
		if at.t < struck && early == nil {
			early = &fired[i]
		}
		if first == nil && (a.Fires != "page" || at.page) {
			first = &fired[i]
		}
	}
	f.Details = bounded(f.Details)
	c := claim{expected: a.expected(), measured: "no " + a.what()}.unless("")
	if first != nil {
		c.measured = fmt.Sprintf("%s, %s after the fault", first.words, short(first.t-struck))
		c.worst = &first.t
	}
	switch within := time.Duration(a.Within); {
	case early != nil:
		c.worst = &early.t
		c.verdict, c.why = Fail, fmt.Sprintf("%s fired at %.1fs, before the fault", early.words, early.t.Seconds())
	case a.Fires == "none" && first != nil:
		c.verdict, c.why = Fail, fmt.Sprintf("%s fired %s after the fault", first.words, short(first.t-struck))
	case a.Fires != "none" && first == nil:
		c.verdict, c.why = Fail, a.silent()
	case within > 0 && first.t-struck > within:
		c.verdict, c.why = Fail, fmt.Sprintf("%s fired %s after the fault, not within %s", first.words, short(first.t-struck), short(within))
		c.margin = against((first.t - struck).Seconds(), within.Seconds())
	}
	return c
}

// silent says why nothing fired.
func (a *alert) silent() string {
	if a.Rule != "" {
		return fmt.Sprintf("%s would not have fired: its condition never held for %s", a.Rule, short(a.hold()))
	}
	return fmt.Sprintf("no %s would have fired: %s never burnt its budget fast enough", a.Fires, a.SLO)
}

// what is the alert in words.
func (a *alert) what() string {
	if a.Rule != "" {
		return a.Rule
	}
	return strings.ReplaceAll(a.Fires, "none", "alert")
}

func (a *alert) expected() string {
	s := a.what()
	if a.Rule == "" {
		s = "a " + s
	}
	switch {
	case a.Fires == "none":
		return "no " + a.what()
	case a.Within > 0:
		return s + " within " + short(time.Duration(a.Within))
	}
	return s
}

// history is how many events there were up to each step of the run, and what is
// assumed of the time before: all was well, at a rate of events per second.
type history struct {
	from       time.Duration
	rate       float64
	total, bad []float64
}

// add takes the events of the steps up to an instant.
func (h *history) add(counts []count, to time.Duration) {
	byTime := map[time.Duration]count{}
	for _, c := range counts {
		byTime[c.T] = c
	}
	h.total, h.bad = []float64{0}, []float64{0}
	for t := h.from + alertStep; t <= to; t += alertStep {
		c, n := byTime[t], len(h.total)
		h.total = append(h.total, h.total[n-1]+c.total)
		h.bad = append(h.bad, h.bad[n-1]+c.total-c.good)
	}
}

// ratio is the share of bad events in the last seconds before a step.
func (h *history) ratio(step int, seconds float64) float64 {
	steps := int(math.Round(seconds / alertStep.Seconds()))
	since := max(0, step-steps)
	total := h.total[step] - h.total[since] + h.rate*alertStep.Seconds()*float64(max(0, steps-step))
	if total == 0 {
		return 0
	}
	return (h.bad[step] - h.bad[since]) / total
}
