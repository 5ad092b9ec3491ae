package verdict

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/runner/record"
)

func init() {
	builtin(Kind{
		Name:    "trace",
		Summary: "The trace of a failed request shows what happened to it.",
		Doc: `Takes the requests that failed on an edge in the window, as the wire shows them, and looks up their traces, as the services
exported them. Of those traces, the bounded share has all that shows asks for: spans of a service with such a name, attributes or
event, each at least so many times; and every span's parent, so that the trace is one tree, except for what the load itself began.
They are all the failed requests there were, no sample, so the share itself decides; without a bound, all must.
Squall receives the traces itself, if the system file says how services are told where to send them (traces).
Too little evidence: fewer than 10 failed requests with a trace id, or no span in the record.`,
		Params:     traceCheck{},
		Bounds:     BoundsOptional,
		MinSamples: 10,
		NeedsBooks: true,
		NeedsSpans: true,
		New:        newTrace,
	})
}

type traceCheck struct {
	Edge  string        `yaml:"edge" spec:"required" doc:"Edge whose failed requests are looked up: payments -> psp-primary."`
	Path  string        `yaml:"path" doc:"Only requests with such paths: * is one segment, a trailing /** any rest."`
	Shows []shownInSpan `yaml:"shows" spec:"required,min=1" doc:"What each trace must have."`

	bounds bounds
	links  links
}

// shownInSpan is a kind of span that a trace must have.
type shownInSpan struct {
	Service string            `yaml:"service" doc:"Service that the span is of, or one instance of it, by the names that the traces carry: payments, payments-2."`
	Name    string            `yaml:"name" doc:"Name of the span; a trailing * stands for any rest."`
	Kind    string            `yaml:"kind" doc:"server, client, producer, consumer or internal."`
	Attrs   map[string]string `yaml:"attrs" doc:"Attributes of the span and their values; a trailing * stands for any rest."`
	Event   string            `yaml:"event" doc:"Event that happened during the span, such as retry."`
	Error   bool              `yaml:"error" doc:"Only spans that failed."`
	AtLeast int               `yaml:"times" spec:"min=1,default=1" doc:"How many such spans, or such events, there must be at least."`
}

func newTrace(d *Declared) Checker {
	c := &traceCheck{}
	d.decode(c)
	c.bounds = shareOf(d.Check)
	c.links = linksOf(d, "edge", c.Edge)
	if d.System.Spec.Traces == nil {
		d.note(d.Params.At(), "trace: the system file does not say how services export traces (traces: {env: OTEL_EXPORTER_OTLP_ENDPOINT})")
	}
	return c
}

func (c *traceCheck) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge, f.Expected = c.links.name, fmt.Sprintf("%s of the failed requests have a whole trace that shows %s", c.bounds, c.wanted())
	if len(v.Run.Spans) == 0 {
		f.unclear("no span was received")
		return
	}
	traces := map[string][]*record.TraceSpan{}
	for i := range v.Run.Spans {
		s := &v.Run.Spans[i]
		traces[s.Trace] = append(traces[s.Trace], s)
	}
	failed, good := 0, 0
	for i := range v.Run.Exchanges {
		x := &v.Run.Exchanges[i]
		if x.Trace == "" || !isCall(x) || !c.links.has(x.Edge) || !matchPath(c.Path, x.Path) || !f.Window.holds(v.Run.T(x.At)) || x.Error == "" && x.Status < 500 {
			continue
		}
		failed++
		if lacks := c.lacks(traces[x.Trace]); lacks == "" {
			good++
		} else {
			f.Worst = cmp.Or(f.Worst, new(v.Run.T(x.At)))
			f.Details = append(f.Details, fmt.Sprintf("%.1fs %s %s, trace %s: %s", v.Run.T(x.At).Seconds(), x.Method, x.Path, x.Trace, lacks))
		}
	}
	f.Samples, f.Details = failed, bounded(f.Details)
	if least := max(1, f.MinSamples); failed < least {
		f.unclear(fmt.Sprintf("%s with a trace on %s, %d are needed", plural(failed, "failed request"), c.links.name, least))
		return
	}
	share := float64(good) / float64(failed)
	f.Measured, f.Margin = fmt.Sprintf("%d of %d", good, failed), c.bounds.margin(share)
	f.Verdict, f.Why = Pass, fmt.Sprintf("%s of %d failed requests have such a trace", percent(share), failed)
	if !c.bounds.met(share) {
		f.Verdict = Fail
		f.Why = fmt.Sprintf("%d of %d failed requests have such a trace, not %s", good, failed, c.bounds)
		if len(f.Details) > 0 {
			f.Why += "; " + f.Details[0]
		}
	}
}

// lacks says what a trace does not show; "" if it shows all.
func (c *traceCheck) lacks(spans []*record.TraceSpan) string {
	if len(spans) == 0 {
		return "no span"
	}
	if orphan := orphanOf(spans); orphan != "" {
		return orphan
	}
	for _, want := range c.Shows {
		if n := want.count(spans); n < want.AtLeast {
			return fmt.Sprintf("%d times %s, not %d", n, want, want.AtLeast)
		}
	}
	return ""
}

// orphanOf names a span whose parent is missing; "" if there is none. The load
// may have begun the trace, with a span that nobody exports: one such parent is
// its.
func orphanOf(spans []*record.TraceSpan) string {
	known := map[string]bool{}
	for _, s := range spans {
		known[s.ID] = true
	}
	outside := ""
	for _, s := range spans {
		switch {
		case s.Parent == "" || known[s.Parent] || s.Parent == outside:
		case outside == "":
			outside = s.Parent
		default:
			return fmt.Sprintf("the parent of %s of %s is missing", s.Name, s.Service)
		}
	}
	return ""
}

func (w shownInSpan) count(spans []*record.TraceSpan) (n int) {
	for _, s := range spans {
		switch {
		case !w.matches(s):
		case w.Event == "":
			n++
		default:
			for _, e := range s.Events {
				if e.Name == w.Event {
					n++
				}
			}
		}
	}
	return n
}

func (w shownInSpan) matches(s *record.TraceSpan) bool {
	if w.Service != "" && s.Service != w.Service && s.Instance != w.Service || w.Kind != "" && s.Kind != w.Kind || w.Error && !s.Error || w.Name != "" && !matchText(w.Name, s.Name) {
		return false
	}
	for key, want := range w.Attrs {
		if got, ok := s.Attrs[key]; !ok || !matchText(want, got) {
			return false
		}
	}
	return true
}

// matchText compares a text with one that may end in * for any rest.
func matchText(want, got string) bool {
	if head, open := strings.CutSuffix(want, "*"); open {
		return strings.HasPrefix(got, head)
	}
	return got == want
}

func (w shownInSpan) String() string {
	parts := []string{cmp.Or(w.Event, "a span")}
	for _, p := range []struct{ name, value string }{{"of", w.Service}, {"named", w.Name}, {"kind", w.Kind}} {
		if p.value != "" {
			parts = append(parts, p.name, p.value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(w.Attrs)) {
		parts = append(parts, key+"="+w.Attrs[key])
	}
	if w.Error {
		parts = append(parts, "failed")
	}
	return strings.Join(parts, " ")
}

func (c *traceCheck) wanted() string {
	parts := make([]string, len(c.Shows))
	for i, w := range c.Shows {
		parts[i] = w.String()
		if w.AtLeast > 1 {
			parts[i] = fmt.Sprintf("%d times %s", w.AtLeast, w)
		}
	}
	return strings.Join(parts, ", ")
}
