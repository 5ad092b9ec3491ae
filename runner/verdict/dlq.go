package verdict

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "dlq",
		Summary: "Messages that cannot be handled end in the dead-letter queue, once, with their cause.",
		Doc: `Looks for every message the fault published (the items of its receipt) among the rows of a ledger
source. A row belongs to a message if its key, its id or one of its attributes is the message id. The cause is the
attribute "cause", a kept header the attribute "header.NAME", how often it was replayed the attribute "replays". Too little
evidence: the fault left no message ids, or the source was not read.`,
		Params:     dlq{},
		Fixed:      true,
		During:     "run",
		MinSamples: 1,
		NeedsBooks: true,
		New:        newDLQ,
	})
}

type dlq struct {
	Queue         string        `yaml:"queue" spec:"required" doc:"Ledger source that lists the dead letters."`
	Fault         string        `yaml:"fault" spec:"required" doc:"Fault that published the messages, by its id."`
	ArrivesOnce   bool          `yaml:"arrivesOnce" spec:"default=true" doc:"A message that arrives twice is an error."`
	CauseMentions string        `yaml:"causeMentions" doc:"Text that the cause must hold."`
	KeepsHeaders  []string      `yaml:"keepsHeaders" doc:"Headers of the message that the dead letter still has."`
	Replays       *int          `yaml:"replays" doc:"How often each was replayed and came back: 1 where a step replays them in vain; absent: not judged."`
	Within        spec.Duration `yaml:"within" doc:"Longest time from injection to arrival; absent: not judged."`
}

func newDLQ(d *Declared) Checker {
	q := &dlq{}
	d.decode(q)
	checkSources(d, "queue", q.Queue)
	var known []string
	for _, x := range d.Scenario.Spec.Faults {
		known = append(known, x.ID)
	}
	if !slices.Contains(known, q.Fault) {
		d.fail("fault", fmt.Sprintf("unknown fault %q", q.Fault), spec.Suggest(q.Fault, known))
	}
	if q.Replays != nil && *q.Replays < 0 {
		d.fail("replays", "replays: must not be negative", "")
	}
	return q
}

func (q *dlq) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = q.expected()
	items := q.items(v.Run)
	f.Samples = len(items)
	if len(items) < max(1, f.MinSamples) {
		f.unclear(fmt.Sprintf("fault %s left %s, %d are needed", q.Fault, plural(len(items), "message id"), max(1, f.MinSamples)))
		return
	}
	rows, why := v.books(q.Queue)
	if why != "" {
		f.unclear(why)
		return
	}
	injected, _ := firstState(v.Run, record.FaultInjected, func(x record.Fault) bool { return x.ID == q.Fault })
	arrived, slowest := 0, time.Duration(0)
	for _, item := range items {
		dead := lettersOf(rows, item)
		if len(dead) > 0 {
			arrived++
			slowest = max(slowest, v.Run.T(dead[0].At)-injected)
		}
		for _, flaw := range q.flaws(dead, func(at int64) time.Duration { return v.Run.T(at) - injected }) {
			f.Details = append(f.Details, item+": "+flaw)
		}
	}
	q.conclude(f, arrived, injected, slowest)
}

func (q *dlq) conclude(f *Finding, arrived int, injected, slowest time.Duration) {
	f.Measured = fmt.Sprintf("%d of %s arrived", arrived, plural(f.Samples, "message"))
	if arrived > 0 {
		f.Measured += ", the slowest after " + short(slowest)
		f.Worst = new(injected + slowest)
		if q.Within > 0 {
			f.Margin = against(slowest.Seconds(), time.Duration(q.Within).Seconds())
		}
	}
	f.Verdict, f.Why = Pass, "every message arrived in "+q.Queue+" as it should"
	if n := len(f.Details); n > 0 {
		f.Verdict, f.Why = Fail, fmt.Sprintf("in %s: %s", q.Queue, f.Details[0])
		if n > 1 {
			f.Why += fmt.Sprintf(" (and %d more)", n-1)
		}
	}
	f.Details = bounded(f.Details)
}

func (q *dlq) expected() string {
	parts := []string{"every message of " + q.Fault + " arrives in " + q.Queue}
	if q.ArrivesOnce {
		parts[0] += " once"
	}
	if q.Within > 0 {
		parts[0] += " within " + short(time.Duration(q.Within))
	}
	if q.Replays != nil {
		parts[0] += ", replayed " + plural(*q.Replays, "time")
	}
	cause := "with its cause"
	if q.CauseMentions != "" {
		cause = fmt.Sprintf("with a cause that mentions %q", q.CauseMentions)
	}
	parts = append(parts, cause)
	if len(q.KeepsHeaders) > 0 {
		parts = append(parts, "with headers "+strings.Join(q.KeepsHeaders, ", "))
	}
	return strings.Join(parts, ", ")
}

// items are the message ids of all receipts of the fault.
func (q *dlq) items(run *record.Run) []string {
	ids := map[string]bool{}
	for _, e := range run.Faults {
		if e.ID != q.Fault || e.Receipt == nil {
			continue
		}
		for _, id := range e.Receipt.Items {
			ids[id] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// lettersOf returns the rows that hold the message, the first to arrive first.
func lettersOf(rows []record.AuditRow, item string) []record.AuditRow {
	var dead []record.AuditRow
	for _, r := range rows {
		if r.Key == item || r.ID == item || slices.Contains(slices.Collect(maps.Values(r.Attrs)), item) {
			dead = append(dead, r)
		}
	}
	slices.SortStableFunc(dead, func(a, b record.AuditRow) int { return cmp.Compare(a.At, b.At) })
	return dead
}

// flaws says what is wrong with the dead letters of one message.
func (q *dlq) flaws(dead []record.AuditRow, after func(at int64) time.Duration) []string {
	if len(dead) == 0 {
		return []string{"never arrived"}
	}
	var out []string
	if len(dead) > 1 && q.ArrivesOnce {
		out = append(out, fmt.Sprintf("arrived %d times", len(dead)))
	}
	first := dead[0]
	cause := first.Attrs["cause"]
	switch {
	case cause == "":
		out = append(out, "arrived without a cause")
	case !strings.Contains(cause, q.CauseMentions):
		out = append(out, fmt.Sprintf("arrived with cause %q, which does not mention %q", cause, q.CauseMentions))
	}
	for _, h := range q.KeepsHeaders {
		if !hasHeader(first.Attrs, h) {
			out = append(out, "arrived without header "+h)
		}
	}
	if got := first.Attrs["replays"]; q.Replays != nil && got != strconv.Itoa(*q.Replays) {
		out = append(out, fmt.Sprintf("arrived with replays %q, not %d", got, *q.Replays))
	}
	if limit := time.Duration(q.Within); limit > 0 && after(first.At) > limit {
		out = append(out, fmt.Sprintf("arrived after %s, not within %s", short(after(first.At)), short(limit)))
	}
	return out
}

func hasHeader(attrs map[string]string, name string) bool {
	for k, v := range attrs {
		if strings.EqualFold(k, "header."+name) && v != "" {
			return true
		}
	}
	return false
}
