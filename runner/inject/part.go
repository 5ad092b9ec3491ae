package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"squall/faults"
)

// part is a fault on one of its targets. Every part has an undo of its own; the
// fault bites when one of them does, and is gone when all are.
type part struct {
	name  string // of the target, as Find knows it
	step  int
	kind  faults.Kind
	fault faults.Fault // kinds keep state: each part has its own
	x     faults.Injection
	undo  json.RawMessage

	receipt faults.Receipt // the fullest seen
	stood   bool           // has been seen in force
	fell    bool           // has been seen not in force any more, before it was reverted
}

func (in *Injector) part(j *injection, t Target) (*part, error) {
	kind, err := in.Registry.Kind(t.Kind)
	if err != nil {
		return nil, err
	}
	fault, err := kind.New(t.Decode)
	if err != nil {
		return nil, err
	}
	target, err := in.Find(t.Name)
	if err != nil {
		return nil, err
	}
	x := faults.Injection{ID: j.ID, Target: target, Seed: j.Seed, Owner: in.Owner, Lease: in.Lease}
	return &part{name: t.Name, step: t.Step, kind: kind, fault: fault, x: x}, nil
}

// steps are the parts that are injected together, one step after the other.
func (j *injection) steps() (steps [][]*part) {
	for i, p := range j.parts {
		if i == 0 || p.step != j.parts[i-1].step {
			steps = append(steps, nil)
		}
		steps[len(steps)-1] = append(steps[len(steps)-1], p)
	}
	return steps
}

// each does something to all parts at once: processes that are started again
// may need each other to become ready. An error names its target where there
// are several.
func each(parts []*part, do func(*part) error) error {
	if len(parts) == 1 {
		return do(parts[0])
	}
	errs := make([]error, len(parts))
	var all sync.WaitGroup
	for i, p := range parts {
		all.Go(func() {
			if err := do(p); err != nil {
				errs[i] = fmt.Errorf("%s: %w", p.name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// look refreshes the receipt. A look that fails, or that sees less than an
// earlier one because the fault has ended, leaves the last one: the fault has
// bitten as far as was seen.
func (p *part) look(ctx context.Context) {
	e, err := p.fault.Observe(ctx, p.x)
	if err != nil {
		return
	}
	if e.Receipt.Hits > 0 && e.Receipt.Hits >= p.receipt.Hits || p.receipt.Hits == 0 && e.Receipt.Unit != "" {
		p.receipt = e.Receipt
	}
	p.fell = p.fell || p.stood && !e.Active
	p.stood = p.stood || e.Active
}

// sum is what all parts together have affected. Where they count different
// things, the note says how many of each.
func sum(parts []*part) faults.Receipt {
	var total faults.Receipt
	var units, notes []string
	hits := map[string]uint64{}
	for _, p := range parts {
		r := p.receipt
		total.Hits += r.Hits
		if hits[r.Unit] += r.Hits; r.Unit != "" && !slices.Contains(units, r.Unit) {
			units = append(units, r.Unit)
		}
		if total.First.IsZero() || !r.First.IsZero() && r.First.Before(total.First) {
			total.First = r.First
		}
		if r.Last.After(total.Last) {
			total.Last = r.Last
		}
		total.Items = append(total.Items, r.Items...)
		if r.Note != "" && !slices.Contains(notes, r.Note) {
			notes = append(notes, r.Note)
		}
	}
	if total.Unit = strings.Join(units, " and "); len(units) > 1 {
		for i, unit := range units {
			units[i] = fmt.Sprintf("%d %s", hits[unit], unit)
		}
		notes = slices.Insert(notes, 0, strings.Join(units, ", "))
	}
	total.Note = strings.Join(notes, "; ")
	return total
}
