package gameday

import (
	"context"
	"encoding/json"
	"sync"

	"squall/faults"
)

// Rehearsal is a registry in which no fault does anything. All the rest is real:
// what an injection reads before (Prepare), looking at the target (Observe), and
// the undo, which is done on a target that nothing was done to.
func Rehearsal(real faults.Registry) faults.Registry {
	r := &rehearsal{active: map[string]bool{}}
	out := faults.Registry{}
	for name, k := range real {
		if k.New != nil {
			k.New, k.Revert = r.begin(k.New), r.end(k.Revert)
		}
		out[name] = k
	}
	return out
}

type rehearsal struct {
	mu     sync.Mutex
	active map[string]bool
}

func (r *rehearsal) set(x faults.Injection, active bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active[x.ID+" "+x.Target.Name()] = active
}

func (r *rehearsal) is(x faults.Injection) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.active[x.ID+" "+x.Target.Name()]
}

func (r *rehearsal) begin(real func(func(any) error) (faults.Fault, error)) func(func(any) error) (faults.Fault, error) {
	return func(decode func(any) error) (faults.Fault, error) {
		f, err := real(decode)
		if err != nil {
			return nil, err
		}
		return &noop{f, r}, nil
	}
}

func (r *rehearsal) end(real func(context.Context, faults.Injection, json.RawMessage) error) func(context.Context, faults.Injection, json.RawMessage) error {
	return func(ctx context.Context, x faults.Injection, undo json.RawMessage) error {
		if err := real(ctx, x, undo); err != nil {
			return err
		}
		r.set(x, false)
		return nil
	}
}

// noop is a fault that is prepared and looked at, and does nothing.
type noop struct {
	faults.Fault
	r *rehearsal
}

// Describe says that it is not real.
func (n *noop) Describe() string { return n.Fault.Describe() + " (rehearsal: nothing is done)" }

// Inject does nothing.
func (n *noop) Inject(_ context.Context, x faults.Injection) error {
	n.r.set(x, true)
	return nil
}

// Observe looks at the target as the fault would; that it cannot is told and
// stops nothing, because some faults cannot be looked at before they were there.
func (n *noop) Observe(ctx context.Context, x faults.Injection) (faults.Evidence, error) {
	note := "rehearsal: nothing was done"
	if _, err := n.Fault.Observe(ctx, x); err != nil {
		note += "; looking at it: " + err.Error()
	}
	return faults.Evidence{Active: n.r.is(x), Receipt: faults.Receipt{Note: note}}, nil
}
