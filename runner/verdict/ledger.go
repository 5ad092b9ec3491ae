package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
)

func init() {
	builtin(Kind{
		Name:    "ledger",
		Summary: "Every operation is in the books exactly as its outcome says.",
		Doc: `Compares what the load was told with the services' own books, after the run. An operation answered ok has
exactly one effect in each accountedBy source and none undone; a failed one has none left; one whose reply was
lost may be either, but the same everywhere. The effects in each balancedBy source (which may do and undo, such
as several providers together) add up to the same. In the terminal source no operation stays pending. An operation
that a deadLettered source lists was given up in the open: effects in accountedBy may be missing, and nothing else may.
So accepted = completed + undone + dead-lettered + pending; what is lost, doubled or half done is listed by its id.
One operation that breaks this is proof, however few there were. Too little evidence for a pass: fewer than 50
operations, or a source that was not read.`,
		Params:     ledger{},
		Fixed:      true,
		During:     "run",
		MinSamples: 50,
		NeedsBooks: true,
		New:        newLedger,
	})
}

type ledger struct {
	Operation     string   `yaml:"operation" spec:"required" doc:"Operation of the load script: checkout."`
	AccountedBy   []string `yaml:"accountedBy" doc:"Ledger sources that hold one effect per operation done."`
	BalancedBy    []string `yaml:"balancedBy" doc:"Ledger sources whose effects add up to one per operation done."`
	DeadLettered  []string `yaml:"deadLettered" doc:"Ledger sources that list operations given up in the open, such as dead letters or expired messages."`
	ExactlyOnce   bool     `yaml:"exactlyOnce" spec:"default=true" doc:"Two effects of one operation are an error; false: at least once is enough."`
	Terminal      string   `yaml:"terminal" doc:"Ledger source with a state per operation, which must be a final one."`
	PendingAtMost int      `yaml:"pendingAtMost" spec:"min=0" doc:"Operations that may still be pending."`
}

func newLedger(d *Declared) Checker {
	l := &ledger{}
	d.decode(l)
	checkSources(d, "accountedBy", l.AccountedBy...)
	checkSources(d, "balancedBy", l.BalancedBy...)
	checkSources(d, "deadLettered", l.DeadLettered...)
	if l.Terminal != "" {
		checkSources(d, "terminal", l.Terminal)
	}
	if len(l.AccountedBy)+len(l.BalancedBy) == 0 && l.Terminal == "" {
		d.fail("", "ledger needs accountedBy, balancedBy or terminal", "")
	}
	return l
}

// flaw is a way in which an operation and the books disagree.
type flaw string

// The flaws, in the order they are reported.
const (
	lost        flaw = "lost"        // answered ok, not in the books
	doubled     flaw = "doubled"     // more than one effect
	halfDone    flaw = "half-done"   // in some books, not in others; or failed and not undone
	pending     flaw = "pending"     // not in a final state
	unexplained flaw = "unexplained" // in the books, asked for by nobody
)

var flaws = []flaw{lost, doubled, halfDone, pending, unexplained}

// tally counts the effects of one operation in one source.
type tally struct{ plus, minus int }

func (t tally) net() int { return t.plus - t.minus }

// account is all that is known of one operation.
type account struct {
	id      string
	outcome record.Outcome // "" for a key that no operation explains
	tallies map[string]tally
	state   string // in the terminal source
	dead    bool   // in a deadLettered source
}

func (l *ledger) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = l.expected()
	accounts, why := l.accounts(v)
	if why != "" {
		f.unclear(why)
		return
	}
	outcomes := map[record.Outcome]int{}
	for _, o := range v.Run.Operations {
		if o.Name == l.Operation {
			outcomes[o.Outcome]++
			f.Samples++
		}
	}
	counts, ends := map[flaw]int{}, map[end]int{}
	for _, a := range accounts {
		if fl, e := l.settled(a); fl == "" {
			ends[e]++
		} else {
			counts[fl]++
			f.Flaws = append(f.Flaws, Flaw{ID: a.id, Flaw: string(fl), Text: l.describe(a)})
		}
	}
	f.Worst = l.firstOf(v.Run, f.Flaws)
	slices.SortStableFunc(f.Flaws, func(a, b Flaw) int { return cmp.Compare(flawOrder(a), flawOrder(b)) })
	for _, x := range f.Flaws {
		f.Details = append(f.Details, fmt.Sprintf("%s: %s: %s", x.Flaw, x.ID, x.Text))
	}
	f.Details, f.Flaws = bounded(f.Details), f.Flaws[:min(len(f.Flaws), MaxFlaws)]
	f.Measured = fmt.Sprintf("%d ok, %d failed, %d unknown: %s; %s",
		outcomes[record.OK], outcomes[record.Failed], outcomes[record.Unknown], l.endText(ends), countText(counts))
	l.conclude(f, counts)
}

// firstOf is when the first operation began that the books contradict.
func (l *ledger) firstOf(run *record.Run, all []Flaw) (first *time.Duration) {
	flawed := map[string]bool{}
	for _, x := range all {
		flawed[x.ID] = true
	}
	for _, o := range run.Operations {
		if at := run.T(o.At); o.Name == l.Operation && flawed[o.ID] && (first == nil || at < *first) {
			first = &at
		}
	}
	return first
}

func (l *ledger) conclude(f *Finding, counts map[flaw]int) {
	if counts[pending] <= l.PendingAtMost {
		delete(counts, pending)
	}
	broken := 0
	for _, n := range counts {
		broken += n
	}
	switch {
	case broken > 0:
		f.Verdict, f.Margin = Fail, plural(broken, "operation")+" too many"
		f.Why = fmt.Sprintf("the books disagree with %s: %s", plural(broken, l.Operation+" operation"), countText(counts))
	case f.Samples < f.MinSamples:
		f.unclear(fmt.Sprintf("%s, %d are needed", plural(f.Samples, l.Operation+" operation"), f.MinSamples))
	default:
		f.Verdict, f.Why = Pass, "the books hold every operation as it was answered"
	}
}

func (l *ledger) expected() string {
	s := "every " + l.Operation + " in the books once if done, not at all if undone"
	if !l.ExactlyOnce {
		s = "every " + l.Operation + " in the books if done, not at all if undone"
	}
	if l.Terminal != "" {
		s += fmt.Sprintf(", at most %d pending", l.PendingAtMost)
	}
	return s
}

// MaxFlaws bounds the operations that are named one by one.
const MaxFlaws = 1000

// countText lists the flaws that were found; the first three are named always.
func countText(counts map[flaw]int) string {
	var parts []string
	for i, f := range flaws {
		if i < 3 || counts[f] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[f], f))
		}
	}
	return strings.Join(parts, ", ")
}

func flawOrder(f Flaw) int { return slices.Index(flaws, flaw(f.Flaw)) }

// end is how an operation ended whose books agree.
type end string

// The ends: every operation without a flaw has one of them.
const (
	completed    end = "completed"
	undone       end = "undone" // compensated, or never begun
	deadLettered end = "dead-lettered"
)

func (l *ledger) endText(ends map[end]int) string {
	s := fmt.Sprintf("%d %s, %d %s", ends[completed], completed, ends[undone], undone)
	if len(l.DeadLettered) > 0 {
		s += fmt.Sprintf(", %d %s", ends[deadLettered], deadLettered)
	}
	return s
}

// settled compares one operation with the books; at most one flaw is reported,
// and without any how it ended.
func (l *ledger) settled(a *account) (flaw, end) {
	if a.state == "pending" {
		return pending, ""
	}
	if a.outcome == "" {
		return unexplained, ""
	}
	done, missing, fl := l.done(a)
	if fl == "" {
		fl = l.unbalanced(a, done)
	}
	if fl == "" {
		fl = l.wrongState(a, done)
	}
	switch {
	case a.dead && missing:
		return fl, deadLettered
	case done:
		return fl, completed
	}
	return fl, undone
}

// done says whether the operation took place, by the accountedBy sources and
// what the load was told, and whether effects are missing there; or how those
// contradict each other.
func (l *ledger) done(a *account) (done, missing bool, fl flaw) {
	present, absent := 0, 0
	for _, s := range l.AccountedBy {
		t := a.tallies[s]
		if l.ExactlyOnce && (t.plus > 1 || t.minus > 1) {
			return false, false, doubled
		}
		switch {
		case t.plus == t.minus:
			absent++
		case t.net() > 0 && t.minus == 0:
			present++
		default:
			return false, false, halfDone
		}
	}
	missing = absent > 0
	switch {
	case a.outcome == record.Failed && present > 0:
		return false, missing, halfDone
	case missing && a.dead:
	case a.outcome == record.OK && missing:
		return true, missing, lost
	case present > 0 && missing:
		return false, missing, halfDone
	}
	if present == 0 && a.outcome == record.Unknown && (a.dead || len(l.AccountedBy) == 0) {
		return l.doneByBalance(a), missing, ""
	}
	return a.outcome == record.OK || present > 0, missing, ""
}

// doneByBalance decides an operation with a lost reply where only balances are kept.
func (l *ledger) doneByBalance(a *account) bool {
	if len(l.BalancedBy) == 0 {
		return a.state != "cancelled" && a.state != ""
	}
	return a.tallies[l.BalancedBy[0]].net() > 0
}

func (l *ledger) unbalanced(a *account, done bool) flaw {
	for _, s := range l.BalancedBy {
		switch net := a.tallies[s].net(); {
		case done && net > 1 && l.ExactlyOnce:
			return doubled
		case done && net < 1 && a.outcome == record.OK:
			return lost
		case done && net < 1, !done && net != 0:
			return halfDone
		}
	}
	return ""
}

// wrongState compares the terminal source; "cancelled" is the one final state
// that means undone.
func (l *ledger) wrongState(a *account, done bool) flaw {
	switch {
	case l.Terminal == "":
		return ""
	case done && a.outcome == record.OK && a.state == "":
		return lost
	case done && a.state == "cancelled", !done && a.state != "" && a.state != "cancelled":
		return halfDone
	}
	return ""
}

func (l *ledger) describe(a *account) string {
	outcome := string(a.outcome)
	if outcome == "" {
		outcome = "no operation"
	}
	parts := []string{outcome}
	for _, s := range slices.Concat(l.AccountedBy, l.BalancedBy) {
		t := a.tallies[s]
		parts = append(parts, fmt.Sprintf("%s +%d -%d", s, t.plus, t.minus))
	}
	if l.Terminal != "" {
		parts = append(parts, fmt.Sprintf("%s %s", l.Terminal, cmp.Or(a.state, "none")))
	}
	return strings.Join(parts, ", ")
}
