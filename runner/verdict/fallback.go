package verdict

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "fallback",
		Summary: "While an optional dependency fails, its caller answers without it, and says so.",
		Doc: `Asks for the path through an edge of the client again and again, in the baseline and under the fault. With the dependency
failing, every answer is good and carries the mark: headers, a text or JSON values. In the baseline none does, or the mark says nothing.
They are all the answers there were, no sample; how the load's own requests fared is for slo to say.
Too little evidence: fewer than 3 looks in the baseline or under the fault, or a dependency that did not fail: nobody asked it in the
baseline, or more than half of its requests under the fault were answered well, as the wire shows.`,
		Params:     fallback{},
		Fixed:      true,
		During:     "run",
		MinSamples: 3,
		New:        newFallback,
	})
}

type fallback struct {
	Dependency string            `yaml:"dependency" spec:"required" doc:"Edge to what is optional: gateway -> reviews."`
	Edge       string            `yaml:"edge" spec:"required" doc:"Edge of the client that is asked: client -> gateway."`
	Path       string            `yaml:"path" spec:"required,pattern=path" doc:"What is asked for: /products/tea."`
	Every      spec.Duration     `yaml:"every" spec:"min=50ms,default=250ms" doc:"Distance of two looks."`
	After      spec.Duration     `yaml:"after" doc:"Looks in this time from the fault's start are not judged: the system has so long to notice."`
	Contains   string            `yaml:"contains" doc:"The mark: text in the body."`
	Has        map[string]string `yaml:"has" doc:"The mark: headers and their values; an empty value is any."`
	JSON       map[string]string `yaml:"json" doc:"The mark: values in a JSON body by their paths, such as {partial.0: reviews} (GJSON paths)."`

	mark       *httpCheck
	dependency links
}

func newFallback(d *Declared) Checker {
	b := &fallback{}
	d.decode(b)
	b.mark = &httpCheck{
		HTTPAct: spec.HTTPAct{Edge: b.Edge, Path: b.Path, Method: "GET", Timeout: spec.Duration(2 * time.Second)},
		Status:  "2xx", Contains: b.Contains, Has: b.Has, JSON: b.JSON,
	}
	refuse(d, spec.Act{HTTP: &b.mark.HTTPAct}.Mistakes(d.System))
	if b.Contains == "" && len(b.Has) == 0 && len(b.JSON) == 0 {
		d.fail("", "fallback needs a mark: has, contains or json", "")
	}
	b.dependency = linksOf(d, "dependency", b.Dependency)
	return b
}

func (b *fallback) look() Look {
	return Look{Every: time.Duration(b.Every), Act: spec.Act{HTTP: &b.mark.HTTPAct}}
}

func (b *fallback) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge = b.dependency.name
	base, _, found := v.phase("baseline")
	w, open, struck := v.phase("fault")
	if !found || !struck {
		f.Pending = v.Live()
		f.unclear("it takes a baseline and a fault")
		return
	}
	f.Pending = open
	w.From = min(w.From+time.Duration(b.After), w.To)
	f.decide([]claim{
		b.unmarked(asked(v.Run, f.ID, base), f.MinSamples),
		b.marked(f, asked(v.Run, f.ID, w), b.notFailing(v, base, w)),
	})
}

// notFailing says why the fault proves nothing; a caller that no longer asks
// has found out.
func (b *fallback) notFailing(v *View, base, w Window) string {
	all := requests(v.Run, b.dependency.has)
	under := all.in(w)
	good := 0
	for _, c := range under {
		if c.ok {
			good++
		}
	}
	switch {
	case len(all.in(base)) == 0:
		return "nobody asked " + b.dependency.name + " in the baseline"
	case 2*good > len(under):
		return fmt.Sprintf("%s did not fail: %d of %s were answered well", b.dependency.name, good, plural(len(under), "request"))
	}
	return ""
}

// unmarked: what is marked all along says nothing.
func (b *fallback) unmarked(looks []record.ProbeEvent, least int) claim {
	c := claim{expected: "not marked in the baseline"}
	if len(looks) < least {
		return c.unless(fmt.Sprintf("%s in the baseline, %d are needed", plural(len(looks), "look"), least))
	}
	for _, p := range looks {
		if b.mark.flaw(p.Probe) == "" {
			c.verdict, c.measured, c.worst = Fail, "marked in the baseline", new(p.Asked())
			c.why = fmt.Sprintf("the answer at %.1fs was marked, before the fault", p.Asked().Seconds())
			return c
		}
	}
	return c.unless("")
}

func (b *fallback) marked(f *Finding, looks []record.ProbeEvent, lacks string) claim {
	good := 0
	c := claim{expected: "answers " + b.mark.expected() + " while " + b.dependency.name + " fails"}
	for _, p := range looks {
		point := Point{T: p.T}
		if flaw := b.mark.flaw(p.Probe); flaw == "" {
			good, point.V = good+1, 1
		} else {
			f.Details = append(f.Details, fmt.Sprintf("%.1fs %s", p.Asked().Seconds(), flaw))
			c.worst = cmp.Or(c.worst, new(p.Asked()))
		}
		f.Series = append(f.Series, point)
	}
	f.Samples, f.Details = len(looks), bounded(f.Details)
	c.measured = fmt.Sprintf("%d of %d answers", good, len(looks))
	switch {
	case lacks != "":
		return c.unless(lacks)
	case len(looks) < f.MinSamples:
		return c.unless(fmt.Sprintf("%s under the fault, %d are needed", plural(len(looks), "look"), f.MinSamples))
	case good < len(looks):
		c.verdict = Fail
		c.why = fmt.Sprintf("%d of %s were good and marked; at %s", good, plural(len(looks), "answer"), f.Details[0])
		return c
	}
	return c.unless("")
}
