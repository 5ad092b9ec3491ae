package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

const (
	slowerBy  = 2   // times its baseline is what an edge must take to count as slow
	keptShare = 0.7 // of its baseline rate is what a route must carry: hedged reads may make the baseline look busier than it was
)

func init() {
	builtin(Kind{
		Name:    "bulkhead",
		Summary: "While one edge is slow, routes that do not need it are as before.",
		Doc: `Judged at the wire: success (no server error, an answer) and time of the requests of each named route, and whether it
still carries at least 70 % of its baseline rate, since a caller that refuses leaves its edges silent. Success is decided by the 95 %
interval (Wilson), slowness by that of the ratio of the mean times (block bootstrap).
Too little evidence: fewer than 20 requests of a route in the baseline or the window, or an edge that is not slow: its
median request must take twice that of the baseline.`,
		Params:     bulkhead{},
		MinSamples: 20,
		New:        newBulkhead,
	})
}

type bulkhead struct {
	Edge           string         `yaml:"edge" spec:"required" doc:"Edge that is slow: gateway -> orders."`
	Unaffected     []string       `yaml:"unaffected" spec:"required" doc:"Routes that must not notice: an edge, or an edge and a path such as client -> gateway /products/*."`
	SuccessAtLeast *spec.Quantity `yaml:"successAtLeast" doc:"Share of requests of each route that succeed; absent: not judged."`
	SlowdownAtMost float64        `yaml:"slowdownAtMost" spec:"min=0" doc:"Mean time of each route, as a multiple of the baseline; 0: not judged."`

	links   links
	routes  []route
	success bounds
}

// route is an edge, or the part of it with such paths.
type route struct {
	name, path string
	links      links
}

func newBulkhead(d *Declared) Checker {
	b := &bulkhead{}
	d.decode(b)
	b.links = linksOf(d, "edge", b.Edge)
	b.Edge = b.links.name
	if b.SuccessAtLeast == nil && b.SlowdownAtMost == 0 {
		d.fail("", "bulkhead needs successAtLeast or slowdownAtMost", "")
	}
	for _, name := range b.Unaffected {
		edge, path, _ := strings.Cut(name, " /")
		r := route{name: edgeName(edge), links: linksOf(d, "unaffected", edge)}
		if path != "" {
			r.path, r.name = "/"+path, r.name+" /"+path
		}
		if r.links.name == b.links.name && r.path == "" {
			d.fail("unaffected", "unaffected: "+r.name+" is the edge that is slow", "")
		}
		b.routes = append(b.routes, r)
	}
	if b.SuccessAtLeast != nil {
		b.success = boundsOf(spec.Check{AtLeast: b.SuccessAtLeast})
	}
	return b
}

func (r route) calls(run *record.Run) calls {
	return exchanges(run, func(x *record.Exchange) bool { return r.links.has(x.Edge) && matchPath(r.path, x.Path) })
}

func (b *bulkhead) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge = b.Edge
	base, _, found := v.phase("baseline")
	if !found {
		f.unclear("phase baseline never ran")
		return
	}
	slow := requests(v.Run, b.links.has)
	lacks := b.notSlow(slow.in(base), slow.in(*f.Window), f.MinSamples)
	f.Samples = -1
	var claims []claim
	for _, r := range b.routes {
		all := r.calls(v.Run)
		before, after := all.in(base), all.in(*f.Window)
		if n := min(len(before), len(after)); f.Samples < 0 || n < f.Samples {
			f.Samples = n
		}
		claims = append(claims, b.flows(r, before, after, base, *f.Window, f.MinSamples, lacks))
		if len(after) < f.MinSamples || len(before) < f.MinSamples {
			continue // said by flows
		}
		if b.success != nil {
			claims = append(claims, b.succeeds(r, after, lacks))
		}
		if b.SlowdownAtMost > 0 {
			claims = append(claims, b.isFast(r, before, after, v.Run.Header.Seed, lacks))
		}
	}
	f.decide(claims)
	f.Expected = b.expected()
}

func (b *bulkhead) expected() string {
	s := strings.Join(b.Unaffected, " and ") + " as before"
	if b.success != nil {
		s += ", success " + b.success.String()
	}
	if b.SlowdownAtMost > 0 {
		s += ", at most " + trimmed(b.SlowdownAtMost, 2) + " times as slow"
	}
	return s
}

// notSlow says why the fault proves nothing.
func (b *bulkhead) notSlow(before, after calls, least int) string {
	if n := min(len(before), len(after)); n < least {
		return fmt.Sprintf("%s on %s, %d are needed in the baseline and under the fault", plural(n, "request"), b.Edge, least)
	}
	if was, is := median(before), median(after); is < slowerBy*was {
		return fmt.Sprintf("%s was not slow: its median request took %s, %s in the baseline", b.Edge, seconds(is), seconds(was))
	}
	return ""
}

func median(cs calls) float64 {
	took := cs.took()
	slices.Sort(took)
	return took[len(took)/2]
}

// slowest of at least one call.
func (cs calls) slowest() call {
	return slices.MaxFunc(cs, func(a, b call) int { return cmp.Compare(a.took(), b.took()) })
}

// took is how long the calls took, in seconds.
func (cs calls) took() []float64 {
	took := make([]float64, len(cs))
	for i, c := range cs {
		took[i] = c.took().Seconds()
	}
	return took
}

// flows judges the traffic of a route.
func (b *bulkhead) flows(r route, before, after calls, base, window Window, least int, lacks string) claim {
	was, is := before.rate(base), after.rate(window)
	if len(before) < least {
		return claim{}.unless(fmt.Sprintf("%s of %s in the baseline, %d are needed", plural(len(before), "request"), r.name, least))
	}
	if is < keptShare*was && lacks == "" {
		return claim{verdict: Fail, measured: fmt.Sprintf("%s: %s of its traffic", r.name, percent(is/was)),
			why: fmt.Sprintf("while %s was slow, %s carried only %s of its baseline traffic: its caller refuses", b.Edge, r.name, percent(is/was))}
	}
	if len(after) < least {
		lacks = fmt.Sprintf("%s of %s, %d are needed", plural(len(after), "request"), r.name, least)
	}
	return claim{}.unless(lacks)
}

func (b *bulkhead) succeeds(r route, after calls, lacks string) claim {
	good := 0
	var bad *time.Duration
	for i, c := range after {
		if c.ok {
			good++
		} else if bad == nil {
			bad = &after[i].at
		}
	}
	n := float64(len(after))
	share := float64(good) / n
	in := wilson(share, n)
	c := claim{measured: fmt.Sprintf("%s: %s good (%s)", r.name, percent(share), b.success.between(in)), margin: b.success.margin(share), worst: bad}
	decided := b.success.decide(in)
	switch {
	case lacks != "" || decided == Pass:
		return c.unless(lacks)
	case decided == Fail:
		c.verdict, c.why = Fail, fmt.Sprintf("while %s was slow, %s of %s on %s failed", b.Edge, percent(1-share), plural(len(after), "request"), r.name)
		return c
	default:
		return c.unless(fmt.Sprintf("%d of %s on %s were good: not sure to be %s%s", good, plural(len(after), "request"), r.name, b.success, b.success.wouldDecide(share)))
	}
}

func (b *bulkhead) isFast(r route, before, after calls, seed uint64, lacks string) claim {
	times, in := ratioOfMeans(before.took(), after.took(), seed)
	limit := bounds{{words: "at most", limit: b.SlowdownAtMost}}
	c := claim{measured: fmt.Sprintf("%s: %s times its time (%s)", r.name, trimmed(times, 2), in.times()), margin: against(times, b.SlowdownAtMost), worst: new(after.slowest().at)}
	decided := limit.decide(in)
	switch {
	case lacks != "" || decided == Pass:
		return c.unless(lacks)
	case decided == Fail:
		c.verdict, c.why = Fail, fmt.Sprintf("while %s was slow, %s took %s times its time, at most %s is allowed", b.Edge, r.name, trimmed(times, 2), trimmed(b.SlowdownAtMost, 2))
		return c
	default:
		return c.unless(c.measured + ": not sure to be at most " + trimmed(b.SlowdownAtMost, 2) + ", longer phases would decide")
	}
}
