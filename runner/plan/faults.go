package plan

import (
	"fmt"
	"time"

	"squall/faults"
	"squall/scenarios/spec"
)

// fault resolves one fault of the scenario. One of an unknown kind that looks
// like a slip is taken for what was meant, so that its other mistakes show as well.
func (c *compiler) fault(f spec.Fault) (Fault, bool) {
	kind, err := c.o.Registry.Kind(f.Kind)
	if err == nil {
		return c.resolve(f, kind)
	}
	near := spec.Suggest(f.Kind, c.o.Registry.Names())
	c.problem(f.Src.At("kind"), near, "fault %s: unknown kind %q", f.ID, f.Kind)
	c.problems[len(c.problems)-1].See = "squall list faults"
	if near == "" {
		c.aimed(f, f.On)
		return Fault{}, false
	}
	f.Kind = near
	c.resolve(f, c.o.Registry[near])
	return Fault{}, false
}

func (c *compiler) resolve(f spec.Fault, kind faults.Kind) (Fault, bool) {
	before := len(c.problems)
	defer func() {
		c.problems = append(c.problems[:before:before], c.problems[before:].Explained("squall explain "+f.Kind)...)
	}()
	f.Params = f.Params.Without(c.overlimited(f, kind))
	whole, hasParts := c.compose(f, kind)
	phase := time.Duration(c.sc.Spec.Phases.Fault)
	out := Fault{
		ID: f.ID, Kind: f.Kind, On: f.On, Says: whole.Says, Seed: SeedFor(c.o.Seed, "fault "+f.ID),
		At: time.Duration(f.At), Until: phase,
	}
	if f.For > 0 {
		out.Until = min(phase, time.Duration(f.At)+time.Duration(f.For))
	}
	if !hasParts {
		out.Targets, out.Says = c.share(f, kind, f.On, 0, f.Params.Decode)
	}
	for i, p := range whole.Parts {
		kind, err := c.o.Registry.Kind(p.Kind)
		if err != nil {
			c.problem(f.Pos, "", "fault %s: %s: %v", f.ID, f.Kind, err)
			continue
		}
		targets, _ := c.share(f, kind, p.On, i, spec.NodeFrom(p.Params).Decode)
		out.Targets = append(out.Targets, targets...)
	}
	return out, len(out.Targets) > 0
}

// compose takes a composite fault apart.
func (c *compiler) compose(f spec.Fault, kind faults.Kind) (faults.Composition, bool) {
	if kind.Compose == nil {
		return faults.Composition{}, false
	}
	names := c.targets(f, kind, f.On)
	whole, err := kind.Compose(f.On, f.Params.Decode)
	if err != nil {
		c.badParams(f, err)
	}
	if len(names) == 0 || err != nil {
		return faults.Composition{}, true
	}
	return whole, true
}

// share resolves a kind on what on names: all of a plain fault, one part of a
// composite one.
func (c *compiler) share(f spec.Fault, kind faults.Kind, on string, step int, decode func(any) error) ([]Target, string) {
	names := c.targets(f, kind, on)
	if kind.Missing != nil && c.o.Here {
		if why := kind.Missing(); why != "" {
			c.problem(f.Pos, "", "fault %s: this machine cannot do %s: %s", f.ID, kind.Name, why)
		}
	}
	act, err := kind.New(decode)
	if err != nil {
		c.badParams(f, err)
		return nil, ""
	}
	c.watched(f, act)
	out := make([]Target, len(names))
	for i, name := range names {
		out[i] = Target{Name: name, Kind: kind.Name, Step: step, Decode: decode, Claim: c.claim(kind, act, name)}
	}
	return out, act.Describe()
}

// watched checks that a fault which waits for something to happen elsewhere
// names an edge where it can.
func (c *compiler) watched(f spec.Fault, act faults.Fault) {
	w, ok := act.(interface{ Watches() []string })
	if !ok {
		return
	}
	for _, edge := range w.Watches() {
		if len(c.sys.EdgesNamed(edge)) == 0 {
			_, known := c.sys.Declared()
			c.problem(c.params(f), spec.Suggest(edge, known), "fault %s: %s: it waits for an unknown edge %q", f.ID, f.Kind, edge)
		}
	}
}

func (c *compiler) badParams(f spec.Fault, err error) {
	c.problems = append(c.problems, spec.AsProblems(fmt.Errorf("fault %s: %s: %w", f.ID, f.Kind, err), c.params(f))...)
}

// params is where the parameters stand; without any, where the fault does.
func (c *compiler) params(f spec.Fault) spec.Pos {
	if pos := f.Params.Pos(); pos.Line > 0 {
		return pos
	}
	return f.Pos
}
