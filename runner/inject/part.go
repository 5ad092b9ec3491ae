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
	id     string
	name   string // of the target, as Find knows it
	seed   uint64
	fault  faults.Fault // kinds keep state: each part has its own
	target faults.Target
	undo   json.RawMessage

	receipt faults.Receipt // the fullest seen
	stood   bool           // has been seen in force
	fell    bool           // has been seen not in force any more, before it was reverted
}

func (in *Injector) part(j *injection, t Target) (*part, error) {
	fault, err := j.kind.New(j.Decode)
	if err != nil {
		return nil, err
	}
	target, err := in.Find(t.Name)
	if err != nil {
		return nil, err
	}
	return &part{id: j.ID, name: t.Name, seed: t.Seed, fault: fault, target: in.leased(j.kind, target)}, nil
}

func (p *part) x() faults.Injection {
	return faults.Injection{ID: p.id, Target: p.target, Seed: p.seed}
}

// each does something to all parts at once: processes that are started again
// may need each other to become ready. An error names its target where there
// are several.
func (j *injection) each(do func(*part) error) error {
	if len(j.parts) == 1 {
		return do(j.parts[0])
	}
	errs := make([]error, len(j.parts))
	var all sync.WaitGroup
	for i, p := range j.parts {
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
	e, err := p.fault.Observe(ctx, p.x())
	if err != nil {
		return
	}
	if e.Receipt.Hits > 0 && e.Receipt.Hits >= p.receipt.Hits || p.receipt.Hits == 0 && e.Receipt.Unit != "" {
		p.receipt = e.Receipt
	}
	p.fell = p.fell || p.stood && !e.Active
	p.stood = p.stood || e.Active
}

// sum is what all parts together have affected.
func sum(parts []*part) faults.Receipt {
	total := parts[0].receipt
	total.Items = slices.Clone(total.Items)
	notes := []string{total.Note}
	for _, p := range parts[1:] {
		r := p.receipt
		total.Hits += r.Hits
		if total.Unit == "" {
			total.Unit = r.Unit
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
	total.Note = strings.Trim(strings.Join(notes, "; "), "; ")
	return total
}
