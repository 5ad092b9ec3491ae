package gameday

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"squall/faults"
	"squall/runner/plan"
	"squall/runner/targets"
	"squall/scenarios/spec"
)

// Hit is how much of a service a fault hits: of its instances, or of the links
// to them, over which its traffic comes.
type Hit struct {
	Service string `json:"service"`
	What    string `json:"what"` // instances or links
	Hit     int    `json:"hit"`
	Of      int    `json:"of"`
}

func (h Hit) share() float64 { return float64(h.Hit) / float64(h.Of) }

// String is "2 of 4 links to payments (50%)".
func (h Hit) String() string {
	to := map[string]string{"links": "links to", "instances": "instances of"}[h.What]
	return fmt.Sprintf("%d of %d %s %s (%s)", h.Hit, h.Of, to, h.Service, spec.Ratio(h.share()))
}

// Risks of a plan, in their order.
const (
	low = iota
	medium
	high
)

var risks = []string{"low", "medium", "high"}

// grave are the capabilities behind faults on data, on clocks and on places.
var grave = []faults.Capability{faults.NeedsData, faults.NeedsClock, faults.NeedsZone, faults.NeedsDatabase, faults.NeedsBusNode}

func (c *compiler) fault(f plan.Fault, stands time.Duration, pos spec.Pos) Fault {
	out := Fault{ID: f.ID, Kind: f.Kind, On: f.On, Says: f.Says, Stands: spec.Duration(stands).String()}
	for _, t := range f.Targets {
		out.Targets = append(out.Targets, t.Name)
		if undo := c.undo(t); !slices.Contains(out.Undo, undo) {
			out.Undo = append(out.Undo, undo)
		}
	}
	out.Hits = c.hits(out.Targets)
	out.Reaches = c.reaches(out.Hits)
	c.weigh(f, out.Hits)
	c.limit(out, stands, pos)
	return out
}

// undo is what the reference says of it, or the command that does it, and who
// does it when the runner falls silent.
func (c *compiler) undo(t plan.Target) string {
	k, err := c.o.Registry.Kind(t.Kind)
	if err != nil {
		return ""
	}
	const watchdog = " If the runner falls silent, the watchdog does it."
	if h := c.sys.Spec.Services[t.Name].Hooks; h != nil {
		hook := h.Kill
		if t.Kind == "proc-pause" {
			hook = h.Pause
		}
		if hook == nil {
			return "" // the service cannot be hit so, as its own problem says
		}
		return "by hook: " + targets.Shell(hook.Undo...) + "." + watchdog
	}
	_, undo, _ := strings.Cut(k.Doc, "Undo:")
	undo = strings.Join(strings.Fields(undo), " ")
	if !strings.Contains(string(k.Needs), "link") {
		return undo
	}
	for _, e := range c.sys.EdgesNamed(t.Name) {
		if e.Through != nil && e.Through.Toxiproxy != "" {
			return undo + watchdog
		}
	}
	return undo + " If the runner falls silent, it ends by itself with its lease."
}

// hits counts, by service, what of it the targets are.
func (c *compiler) hits(targets []string) []Hit {
	byService := map[string]*Hit{}
	for _, t := range targets {
		_, callee, isLink := strings.Cut(t, " -> ")
		service, what := c.sys.ServiceOf(cmp.Or(callee, t)), "instances"
		if isLink {
			what = "links"
		}
		h := byService[service+what]
		if h == nil {
			h = &Hit{Service: service, What: what, Of: c.all(service, isLink)}
			byService[service+what] = h
		}
		h.Hit++
	}
	var out []Hit
	for _, key := range slices.Sorted(maps.Keys(byService)) {
		out = append(out, *byService[key])
	}
	return out
}

// all is how many instances a service has, or how many links lead to them.
func (c *compiler) all(service string, links bool) int {
	if !links {
		return len(c.sys.Instances(service))
	}
	n := 0
	for _, e := range c.sys.Spec.Edges {
		if c.sys.ServiceOf(e.Callee) == service {
			n++
		}
	}
	return n
}

// reaches are the services that are hit, and whoever calls them, and so on.
func (c *compiler) reaches(hits []Hit) (out []string) {
	for _, h := range hits {
		out = append(out, h.Service)
	}
	for i := 0; i < len(out); i++ {
		for _, e := range c.sys.Spec.Edges {
			caller := e.Caller
			if caller != spec.Client {
				caller = c.sys.ServiceOf(caller)
			}
			if c.sys.ServiceOf(e.Callee) == out[i] && !slices.Contains(out, caller) {
				out = append(out, caller)
			}
		}
	}
	return out
}

// weigh raises the risk of the plan by one fault.
func (c *compiler) weigh(f plan.Fault, hits []Hit) {
	risk := low
	for _, h := range hits {
		switch whole := h.Hit == h.Of; {
		case whole && h.What == "instances":
			risk = high
		case whole || h.What == "instances":
			risk = max(risk, medium)
		}
	}
	for _, t := range f.Targets {
		if k, err := c.o.Registry.Kind(t.Kind); err == nil && slices.Contains(grave, k.Needs) {
			risk = high
		}
	}
	if k, err := c.o.Registry.Kind(f.Kind); err == nil && slices.Contains(grave, k.Needs) {
		risk = high
	}
	c.risk = max(c.risk, risk)
}

// limit refuses a fault that exceeds the limits of the system.
func (c *compiler) limit(f Fault, stands time.Duration, pos spec.Pos) {
	l := c.sys.Spec.Limits
	if l == nil {
		return
	}
	refuse := func(format string, args ...any) {
		c.problem(pos, "exceeds the limits of %s: fault %s "+format, append([]any{c.sys.File, f.ID}, args...)...)
	}
	services := map[string]bool{}
	for _, h := range f.Hits {
		services[h.Service] = true
		if h.share() > float64(l.Share) {
			refuse("hits %s, share is %s", h, l.Share)
		}
		if slices.Contains(l.Protected, h.Service) {
			refuse("hits %s, which is protected", h.Service)
		}
	}
	if l.Services > 0 && len(services) > l.Services {
		refuse("hits %d services, services is %d", len(services), l.Services)
	}
	if l.Stand > 0 && stands > time.Duration(l.Stand) {
		refuse("stands for %s, stand is %s", spec.Duration(stands), l.Stand)
	}
	if len(l.Kinds) > 0 && !slices.Contains(l.Kinds, f.Kind) {
		refuse("is a %s, kinds are %s", f.Kind, strings.Join(l.Kinds, ", "))
	}
	if slices.Contains(l.Never, f.Kind) {
		refuse("is a %s, which is never allowed", f.Kind)
	}
}

func (c *compiler) arrival(r spec.Rate, pos spec.Pos, what string) {
	if l := c.sys.Spec.Limits; l != nil && l.Arrival != nil && r.PerSecond > l.Arrival.PerSecond {
		c.problem(pos, "exceeds the limits of %s: %s puts %s on it, arrival is %s", c.sys.File, what, r, l.Arrival)
	}
}

// approvals says how many people must approve, and who may. A system that squall
// starts by itself is its own business where its file names nobody; any other
// must say who answers for it.
func (c *compiler) approvals() {
	p := c.out.Plan
	p.Risk = risks[c.risk]
	for _, a := range c.sys.Spec.Approvers {
		p.Approvers = append(p.Approvers, a.Name)
	}
	need := spec.Approvals{Low: 1, Medium: 1, High: 2}
	if l := c.sys.Spec.Limits; l != nil {
		need = l.Approvals
	}
	if len(p.Approvers) == 0 {
		if c.sys.Spec.Target == "remote" {
			c.problem(spec.Pos{File: c.sys.File, Line: 1, Col: 1}, "a system that runs elsewhere needs approvers: nobody could approve a game day on it")
		}
		return
	}
	p.Approvals = []int{need.Low, need.Medium, need.High}[c.risk]
}
