package verdict

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "log",
		Summary: "Services write, or do not write, certain lines.",
		Doc: `Reads the logs of a service's instances, as the run directory has them. A line counts if it was written in the window (its time,
timestamp or ts), has the fields, and contains the text. The bound is on their number. With explains, it is on a share instead: of the
requests that failed on that edge in the window, those with such a line of the same trace (trace_id) or operation (op), so that who
finds a failed request finds its cause. They are all there were, no sample, so number and share themselves decide.
Too little evidence: no line with a time in the whole run, since a service that logs nothing, or no JSON, does not say that all is
well; with explains, fewer than 10 failed requests.`,
		Params:     logCheck{},
		Bounds:     BoundsRequired,
		NeedsBooks: true,
		New:        newLog,
	})
}

// minExplained is the least number of failed requests for a share of them.
const minExplained = 10

type logCheck struct {
	Service  string            `yaml:"service" spec:"required" doc:"Service whose log is read, all its instances, or one instance."`
	Fields   map[string]string `yaml:"fields" doc:"Fields that a line must have and their values; a trailing * stands for any rest: {level: WARN, msg: call failed}."`
	Contains string            `yaml:"contains" doc:"Text that a line must contain."`
	Explains string            `yaml:"explains" doc:"Edge whose failed requests are to have such a line: orders -> payments."`

	bounds bounds
	links  links
}

func newLog(d *Declared) Checker {
	l := &logCheck{}
	d.decode(l)
	l.bounds = boundsOf(d.Check)
	if len(d.System.Instances(l.Service)) == 0 {
		known, _ := d.System.Declared()
		d.fail("service", fmt.Sprintf("service: unknown service %q", l.Service), spec.Suggest(l.Service, known))
	}
	if l.Explains != "" {
		l.links = linksOf(d, "explains", l.Explains)
	}
	return l
}

func (l *logCheck) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = l.bounds.String() + " " + l.wanted()
	var lines []record.LogLine
	timed := 0
	for _, instance := range v.System.Instances(l.Service) {
		err := v.Run.Log(instance, func(line record.LogLine) {
			if line.Timed {
				timed++
			}
			if line.Timed && f.Window.holds(line.T) && l.matches(line) {
				lines = append(lines, line)
			}
		})
		if err != nil {
			f.broken(err)
			return
		}
	}
	slices.SortStableFunc(lines, func(a, b record.LogLine) int { return cmp.Compare(a.T, b.T) })
	switch {
	case timed == 0:
		f.unclear(fmt.Sprintf("%s wrote no line of JSON with a time", l.Service))
	case l.Explains != "":
		l.explained(v, f, lines)
	default:
		l.counted(f, lines)
	}
}

// wanted says what lines are looked for.
func (l *logCheck) wanted() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(l.Fields)) {
		parts = append(parts, name+" = "+l.Fields[name])
	}
	if l.Contains != "" {
		parts = append(parts, fmt.Sprintf("%q", l.Contains))
	}
	s := "lines of " + l.Service
	if len(parts) > 0 {
		s += " with " + strings.Join(parts, ", ")
	}
	if l.Explains != "" {
		s = "of the failed requests on " + l.links.name + " with " + s
	}
	return s
}

func (l *logCheck) matches(line record.LogLine) bool {
	for name, want := range l.Fields {
		if got, ok := line.Field(name); !ok || !matchText(want, got) {
			return false
		}
	}
	return strings.Contains(line.Text, l.Contains)
}

func (l *logCheck) counted(f *Finding, lines []record.LogLine) {
	for _, line := range lines {
		f.Details = append(f.Details, fmt.Sprintf("%.1fs %s", line.T.Seconds(), brief(line.Text)))
		f.Worst = cmp.Or(f.Worst, new(line.T))
	}
	f.Details, f.Samples = bounded(f.Details), len(lines)
	f.Measured = plural(len(lines), "line")
	l.conclude(f, float64(len(lines)))
}

// explained is the share of failed requests whose trace or operation has a line.
func (l *logCheck) explained(v *View, f *Finding, lines []record.LogLine) {
	told := map[string]bool{}
	for _, line := range lines {
		for _, name := range []string{"trace_id", "traceId", "trace", "op"} {
			if id, ok := line.Field(name); ok && id != "" {
				told[id] = true
			}
		}
	}
	failed, explained := 0, 0
	for i := range v.Run.Exchanges {
		x := &v.Run.Exchanges[i]
		if !isCall(x) || !l.links.has(x.Edge) || !f.Window.holds(v.Run.T(x.At)) || x.Error == "" && x.Status < 500 {
			continue
		}
		failed++
		if told[x.Trace] || told[x.Op] {
			explained++
			continue
		}
		f.Worst = cmp.Or(f.Worst, new(v.Run.T(x.At)))
		f.Details = append(f.Details, fmt.Sprintf("%.1fs %s %s: %s: no line of trace %s", v.Run.T(x.At).Seconds(), x.Method, x.Path, cmp.Or(x.Error, fmt.Sprint(x.Status)), cmp.Or(x.Trace, "(none)")))
	}
	f.Details, f.Samples = bounded(f.Details), failed
	if least := max(minExplained, f.MinSamples); failed < least {
		f.unclear(fmt.Sprintf("%s on %s, %d are needed", plural(failed, "failed request"), l.links.name, least))
		return
	}
	f.Measured = fmt.Sprintf("%d of %d", explained, failed)
	l.conclude(f, float64(explained)/float64(failed))
}

func (l *logCheck) conclude(f *Finding, value float64) {
	f.Margin = l.bounds.margin(value)
	f.Verdict, f.Why = Pass, f.Measured+": "+l.wanted()
	if !l.bounds.met(value) {
		f.Verdict, f.Why = Fail, fmt.Sprintf("%s: %s, not %s", f.Measured, l.wanted(), l.bounds)
	}
}
