package verdict

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"squall/runner/record"
)

func init() {
	builtin(Kind{
		Name:    "linearizable",
		Summary: "Whoever reads sees the last write, as if there were one copy.",
		Doc: `Each key is a register. Two operations of the load write and read it, and say which key and value in their detail:
op.ok("customer-7=Ada"). The history of a key is linearizable (Herlihy and Wing 1990; decided by Porcupine) if its operations can be put into an
order in which each takes place between its start and its end, and every read gives the value of the write before it. A write
that failed did not take place; one whose reply was lost takes place at any time after its start, or never. What a key held
before its first write is not known, so a first read may give anything. Too little evidence: fewer than 50 reads, an operation
that does not say its key, or a history with so many lost replies that its orders are too many to try.`,
		Params:     linearizable{},
		Fixed:      true,
		During:     "run",
		MinSamples: 50,
		New:        newLinearizable,
	})
}

// linearizableSteps bounds the search over all keys. It counts steps and not
// time, so that a record has one verdict on every machine.
const linearizableSteps = 200_000

type linearizable struct {
	Write string `yaml:"write" spec:"required" doc:"Operation of the load script that sets the value of a key."`
	Read  string `yaml:"read" spec:"required" doc:"Operation of the load script that gets it."`
}

func newLinearizable(d *Declared) Checker {
	l := &linearizable{}
	d.decode(l)
	if l.Write == l.Read {
		d.fail("read", "read: is the same operation as write", "")
	}
	return l
}

// access is one write or read of a register.
type access struct {
	write bool
	value string
}

// register is what is known of a key's value; a read may give anything before
// it is known.
type register struct {
	value string
	known bool
}

func (l *linearizable) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = "every " + l.Read + " gives the value of the last " + l.Write + " before it, or of one at its time"
	histories, silent := l.histories(v.Run)
	open := 0
	for _, ops := range histories {
		for _, op := range ops {
			switch a := op.Input.(access); {
			case !a.write:
				f.Samples++
			case op.Return == math.MaxInt64:
				open++
			}
		}
	}
	search := &search{left: linearizableSteps}
	var broken []string
	for _, key := range slices.Sorted(maps.Keys(histories)) {
		if !search.linearizable(histories[key]) && search.left > 0 {
			broken = append(broken, key)
			f.Details = append(f.Details, search.culprit(v.Run, key, histories[key]))
		}
	}
	f.Measured = fmt.Sprintf("%s of %s, %s without a reply; %d not linearizable",
		plural(f.Samples, "read"), plural(len(histories), "key"), plural(open, "write"), len(broken))
	f.Details = bounded(f.Details)
	switch {
	case len(broken) > 0:
		f.Verdict, f.Why = Fail, f.Details[0]
	case silent != "":
		f.unclear(silent)
	case search.left <= 0:
		f.unclear(fmt.Sprintf("the orders of %s are too many to try, with %s without a reply: fewer lost replies or more keys would decide",
			plural(f.Samples, "read"), plural(open, "write")))
	case f.Samples < f.MinSamples:
		f.unclear(fmt.Sprintf("%s, %d are needed", plural(f.Samples, l.Read+" operation"), f.MinSamples))
	default:
		f.Verdict, f.Why = Pass, "every read can be explained by one order of the writes"
	}
}

// histories are the operations by key; silent names one that does not say its
// key and value.
func (l *linearizable) histories(run *record.Run) (byKey map[string][]porcupine.Operation, silent string) {
	byKey = map[string][]porcupine.Operation{}
	for i, o := range run.Operations {
		write := o.Name == l.Write
		if !write && o.Name != l.Read || o.Outcome == record.Failed || !write && o.Outcome == record.Unknown {
			continue
		}
		key, value, said := strings.Cut(o.Detail, "=")
		if !said {
			silent = cmp.Or(silent, fmt.Sprintf("%s %s says %q, not KEY=VALUE", o.Name, o.ID, o.Detail))
			continue
		}
		end := o.At + o.Dur
		if o.Outcome == record.Unknown {
			end = math.MaxInt64
		}
		byKey[key] = append(byKey[key], porcupine.Operation{ClientId: i, Input: access{write, value}, Call: o.At, Return: end, Metadata: o.ID})
	}
	return byKey, silent
}

// search decides histories with a bounded number of steps.
type search struct{ left int }

// linearizable is false also where the steps ran out.
func (s *search) linearizable(ops []porcupine.Operation) bool {
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return register{} },
		Step: func(state, input, _ any) (bool, any) {
			if s.left--; s.left < 0 {
				return false, state
			}
			r, a := state.(register), input.(access)
			return a.write || !r.known || r.value == a.value, register{a.value, true}
		},
	}, ops)
}

// culprit names the first read that cannot be explained: without it and those
// that ended later, the history is linearizable.
func (s *search) culprit(run *record.Run, key string, ops []porcupine.Operation) string {
	var reads, writes []porcupine.Operation
	for _, op := range ops {
		if op.Input.(access).write {
			writes = append(writes, op)
		} else {
			reads = append(reads, op)
		}
	}
	slices.SortFunc(reads, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	n := sort.Search(len(reads)-1, func(n int) bool { return !s.linearizable(slices.Concat(writes, reads[:n+1])) })
	read := reads[n]
	return fmt.Sprintf("%s: read %s at %s gave %q, which no order of its %s explains; the last to end before it wrote %q", key, read.Metadata,
		short(time.Duration(read.Call-run.Header.Started.UnixNano())), read.Input.(access).value, plural(len(writes), "write"), lastBefore(writes, read.Call))
}

// lastBefore is the value of the write that was the last to end before an instant.
func lastBefore(writes []porcupine.Operation, at int64) string {
	value, end := "", int64(math.MinInt64)
	for _, w := range writes {
		if w.Return < at && w.Return > end {
			value, end = w.Input.(access).value, w.Return
		}
	}
	return value
}
