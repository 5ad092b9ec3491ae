package verdict

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"
	"time"

	"squall/runner/record"
)

// loadCaller is the caller of the edges that the load goes through.
const loadCaller = "client"

// call is something with a start and an end: a request at the wire, or an
// operation of the load.
type call struct {
	at, end  time.Duration
	answered bool // the caller got a reply, whatever it said
	ok       bool // and it was not a server error
}

func (c call) took() time.Duration { return c.end - c.at }

// calls are ordered by their start.
type calls []call

// requests returns the requests on the edges that match.
func requests(run *record.Run, match func(edge string) bool) calls {
	return exchanges(run, func(x *record.Exchange) bool { return match(x.Edge) })
}

// exchanges returns the requests that match.
func exchanges(run *record.Run, match func(*record.Exchange) bool) calls {
	var cs calls
	for i := range run.Exchanges {
		x := &run.Exchanges[i]
		if !isCall(x) || !match(x) {
			continue
		}
		at := run.T(x.At)
		cs = append(cs, call{
			at: at, end: at + time.Duration(x.Dur),
			answered: x.Status != 0,
			ok:       x.Status != 0 && x.Status < 500 && x.Error == "",
		})
	}
	return cs.sorted()
}

// operations returns what the load started, in the same form.
func operations(run *record.Run) calls {
	cs := make(calls, 0, len(run.Operations))
	for _, o := range run.Operations {
		at := run.T(o.At)
		cs = append(cs, call{at, at + time.Duration(o.Dur), o.Outcome != record.Unknown, o.Outcome == record.OK})
	}
	return cs.sorted()
}

// isCall tells a request, or a connection that broke before one could be read,
// from the end of a connection whose requests have lines of their own.
func isCall(x *record.Exchange) bool {
	return x.Method != "" || (x.Error != "" && x.In == 0 && x.Out == 0)
}

func (cs calls) sorted() calls {
	slices.SortStableFunc(cs, func(a, b call) int { return cmp.Compare(a.at, b.at) })
	return cs
}

// in returns the calls that start in the window.
func (cs calls) in(w Window) calls {
	from := sort.Search(len(cs), func(i int) bool { return cs[i].at >= w.From })
	to := sort.Search(len(cs), func(i int) bool { return cs[i].at >= w.To })
	return cs[from:max(from, to)]
}

// rate is calls per second over the window.
func (cs calls) rate(w Window) float64 {
	if w.length() <= 0 {
		return 0
	}
	return float64(len(cs.in(w))) / w.length().Seconds()
}

// answeredIn counts the calls answered in the window, whenever they started.
func (cs calls) answeredIn(w Window) int {
	n := 0
	for _, c := range cs {
		if c.at >= w.To {
			break
		}
		if c.answered && w.holds(c.end) {
			n++
		}
	}
	return n
}

// series is calls per second in steps, for charts.
func (cs calls) series(w Window, step time.Duration) []Point {
	var ps []Point
	for t := w.From; t+step <= w.To; t += step {
		ps = append(ps, Point{T: t + step, V: cs.rate(Window{t, t + step})})
	}
	return ps
}

// ends splits "a -> b".
func ends(edge string) (caller, callee string) {
	caller, callee, _ = strings.Cut(edge, "->")
	return strings.TrimSpace(caller), strings.TrimSpace(callee)
}

// edgeName is an edge with its spaces as the system file has them.
func edgeName(text string) string {
	caller, callee := ends(text)
	return caller + " -> " + callee
}

// matchPath is path.Match plus a trailing /** for any rest; "" matches all.
func matchPath(pattern, p string) bool {
	if pattern == "" {
		return true
	}
	p, _, _ = strings.Cut(p, "?")
	if head, deep := strings.CutSuffix(pattern, "/**"); deep {
		n := strings.Count(head, "/")
		parts := strings.Split(p, "/")
		if len(parts) < n+2 {
			return false
		}
		pattern, p = head, strings.Join(parts[:n+1], "/")
	}
	ok, err := path.Match(pattern, p)
	return err == nil && ok
}

// tooShort refuses a check that would outlast the recovery phase: it could not
// fail, only be inconclusive.
func tooShort(d *Declared, field string, needs time.Duration) {
	if phase := time.Duration(d.Scenario.Spec.Phases.Recovery); phase > 0 && needs > phase {
		d.fail(field, fmt.Sprintf("%s: takes up to %s to judge, but phase recovery lasts %s", field, short(needs), short(phase)), "")
	}
}
