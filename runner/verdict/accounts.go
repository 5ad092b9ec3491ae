package verdict

import (
	"cmp"
	"slices"
	"time"

	"squall/runner/record"
)

// interruptedSpan is how long before the load's end an operation may have
// begun that was cut off and so left no line: the load script's longest wait,
// with room. Used only where the wire does not tell.
const interruptedSpan = 10 * time.Second

// accounts joins the operations of the load with the books, sorted by id.
func (l *ledger) accounts(v *View) ([]*account, string) {
	byID := map[string]*account{}
	others := map[string]bool{} // operations of other names: their rows are not ours
	for _, o := range v.Run.Operations {
		if o.Name != l.Operation {
			others[o.ID] = true
			continue
		}
		byID[o.ID] = &account{id: o.ID, outcome: o.Outcome, tallies: map[string]tally{}}
	}
	started := startedBy(v.Run)
	get := func(r record.AuditRow) *account {
		a := byID[r.Key]
		if a == nil && !others[r.Key] {
			a = &account{id: r.Key, tallies: map[string]tally{}}
			if started(r) {
				a.outcome = record.Unknown
			}
			byID[r.Key] = a
		}
		return a
	}
	if why := l.enter(v, get); why != "" {
		return nil, why
	}
	if why := l.enterDead(v, byID); why != "" {
		return nil, why
	}
	list := make([]*account, 0, len(byID))
	for _, a := range byID {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *account) int { return cmp.Compare(a.id, b.id) })
	return list, ""
}

// enter adds the rows of every source to the accounts get finds for them.
func (l *ledger) enter(v *View, get func(record.AuditRow) *account) (why string) {
	entered := map[string]bool{}
	for _, s := range slices.Concat(l.AccountedBy, l.BalancedBy) {
		if entered[s] {
			continue
		}
		entered[s] = true
		rows, why := v.books(s)
		if why != "" {
			return why
		}
		for _, r := range rows {
			if a := get(r); a != nil {
				a.tallies[s] = a.tallies[s].with(r.Effect)
			}
		}
	}
	return l.enterStates(v, get)
}

func (l *ledger) enterStates(v *View, get func(record.AuditRow) *account) string {
	if l.Terminal == "" {
		return ""
	}
	rows, why := v.books(l.Terminal)
	if why != "" {
		return why
	}
	// Where a source keeps several rows of one operation, the newest counts.
	slices.SortStableFunc(rows, func(a, b record.AuditRow) int { return cmp.Compare(a.At, b.At) })
	for _, r := range rows {
		if a := get(r); a != nil {
			a.state = r.State
		}
	}
	return ""
}

// enterDead marks the operations that were given up. What else is among the
// dead letters, such as poison, is no operation.
func (l *ledger) enterDead(v *View, byID map[string]*account) string {
	for _, s := range l.DeadLettered {
		rows, why := v.books(s)
		if why != "" {
			return why
		}
		for _, r := range rows {
			if a := byID[r.Key]; a != nil {
				a.dead = true
			}
		}
	}
	return ""
}

func (t tally) with(effect int) tally {
	if effect > 0 {
		t.plus += effect
	} else {
		t.minus -= effect
	}
	return t
}

// startedBy tells a row of an operation that the load began and whose line is
// missing because the generator was stopped, from one that nobody asked for.
// The wire of the load's own edges knows; without it the instant has to do.
func startedBy(run *record.Run) func(record.AuditRow) bool {
	seen := map[string]bool{}
	for i := range run.Exchanges {
		x := &run.Exchanges[i]
		if caller, _ := ends(x.Edge); caller == loadCaller && x.Op != "" {
			seen[x.Op] = true
		}
	}
	if len(seen) > 0 {
		return func(r record.AuditRow) bool { return seen[r.Key] }
	}
	warmup, hasWarmup := run.Phase("warmup")
	stopped := run.Last
	for _, e := range run.Loads {
		if e.Event == "stopped" {
			stopped = e.T
		}
	}
	return func(r record.AuditRow) bool {
		t := run.T(r.At)
		return (hasWarmup && t < warmup.To) || t >= stopped-interruptedSpan
	}
}
