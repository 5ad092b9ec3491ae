package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "timeout",
		Summary: "Callers wait for no longer than they should, and nobody works for a caller that has gone.",
		Doc: `Judged at the wire. A wait lasts from the request to its answer, or until the caller gave up. Work after a caller
has gone is a request of the same operation (X-Request-Id) that the callee, or anybody it calls, begins when all callers that waited
for it at that instance have left it, more than noWorkAfter ago; what follows an answer is work in the background and
not counted. Undoing is work as well: workPath says which work is meant.
Too little evidence: fewer than 20 calls, no call on the edge or behind it that a fault hit, and a longest wait of less than
half of waitAtMost although nobody left: then nothing was there to wait for.`,
		Params:     timeout{},
		MinSamples: 20,
		New:        newTimeout,
	})
}

type timeout struct {
	aimed `yaml:",inline"`

	WaitAtMost  spec.Duration `yaml:"waitAtMost" doc:"Longest wait of a caller; absent: not judged."`
	NoWorkAfter spec.Duration `yaml:"noWorkAfter" doc:"How long after a caller has left work for it may still begin; absent: not judged."`
	WorkPath    string        `yaml:"workPath" doc:"Work is only what has such a path; absent: any request."`

	behind map[string]map[string]bool // by instance of the callee: it, and whom it can reach
}

func newTimeout(d *Declared) Checker {
	c := &timeout{}
	d.decode(c)
	c.resolve(d)
	switch {
	case c.WaitAtMost == 0 && c.NoWorkAfter == 0:
		d.fail("", "timeout needs waitAtMost or noWorkAfter", "")
	case c.WorkPath != "" && c.NoWorkAfter == 0:
		d.fail("workPath", "workPath: needs noWorkAfter", "")
	}
	c.behind = map[string]map[string]bool{}
	for edge := range c.links.of {
		_, callee := ends(edge)
		c.behind[callee] = reachable(d.System, callee)
	}
	return c
}

// reachable is an instance and everything it calls, directly or not.
func reachable(sys *spec.System, from string) map[string]bool {
	seen, next := map[string]bool{}, []string{from}
	for len(next) > 0 {
		at := next[0]
		if next = next[1:]; seen[at] {
			continue
		}
		seen[at] = true
		for _, e := range sys.Spec.Edges {
			if caller, callee := ends(e.Name()); caller == at {
				next = append(next, callee)
			}
		}
	}
	return seen
}

func (c *timeout) Judge(_ context.Context, v *View, f *Finding) {
	f.Edge = c.Edge
	var waits []*record.Exchange
	hit := false
	for i := range v.Run.Exchanges {
		x := &v.Run.Exchanges[i]
		if !isCall(x) || !f.Window.holds(v.Run.T(x.At)) {
			continue
		}
		hit = hit || x.Fault != "" && (c.links.has(x.Edge) || c.isBehind(x))
		if c.matches(x) {
			waits = append(waits, x)
		}
	}
	f.Samples = len(waits)
	lacks := ""
	switch {
	case f.Samples < f.MinSamples:
		lacks = fmt.Sprintf("%s on %s, %d are needed", plural(f.Samples, "call"), c.Edge, f.MinSamples)
	case !hit:
		lacks = "no call on " + c.Edge + ", nor any behind it, was hit by a fault"
	}
	slices.SortStableFunc(waits, func(a, b *record.Exchange) int { return cmp.Compare(b.Dur, a.Dur) })
	var claims []claim
	if c.WaitAtMost > 0 {
		claims = append(claims, c.waited(v.Run, waits, lacks))
	}
	if c.NoWorkAfter > 0 {
		orphans, left := c.orphans(v.Run, waits)
		claims = append(claims, c.worked(orphans, left, lacks))
		f.Details = bounded(orphans)
	}
	f.decide(claims)
}

func (c *timeout) isBehind(x *record.Exchange) bool {
	caller, _ := ends(x.Edge)
	for _, reached := range c.behind {
		if reached[caller] {
			return true
		}
	}
	return false
}

// hasLeft: the caller gave up before it had an answer.
func hasLeft(x *record.Exchange) bool { return x.Error == "caller-left" }

// waited judges the longest wait; waits come longest first.
func (c *timeout) waited(run *record.Run, waits []*record.Exchange, lacks string) claim {
	limit := time.Duration(c.WaitAtMost)
	claim := claim{expected: "no wait over " + short(limit)}
	if len(waits) == 0 {
		return claim.unless(lacks)
	}
	x := waits[0]
	longest := time.Duration(x.Dur)
	claim.measured, claim.margin = "longest wait "+short(longest), against(longest.Seconds(), limit.Seconds())
	claim.worst = new(run.T(x.At))
	switch {
	case longest > limit:
		claim.verdict = Fail
		claim.why = fmt.Sprintf("the caller of %s waited %s at %s, at most %s is allowed", x.Edge, short(longest), short(run.T(x.At)), short(limit))
		return claim
	case lacks == "" && longest < limit/2 && !slices.ContainsFunc(waits, hasLeft):
		lacks = fmt.Sprintf("nobody waited for longer than %s on %s, so a limit of %s was not tried", short(longest), c.Edge, short(limit))
	}
	return claim.unless(lacks)
}

func (c *timeout) worked(orphans []string, left int, lacks string) claim {
	grace := short(time.Duration(c.NoWorkAfter))
	claim := claim{expected: "no work " + grace + " after the caller has left",
		measured: fmt.Sprintf("%s left, %s begun after that", plural(left, "caller"), plural(len(orphans), "call"))}
	if len(orphans) > 0 {
		claim.verdict = Fail
		claim.why = fmt.Sprintf("%s begun behind %s more than %s after the last caller had left, first %s", plural(len(orphans), "call"), c.Edge, grace, orphans[0])
		return claim
	}
	return claim.unless(lacks)
}

// orphans are the requests that were begun for nobody, and how many callers left.
func (c *timeout) orphans(run *record.Run, waits []*record.Exchange) (lines []string, left int) {
	byOp := map[string][]*record.Exchange{}
	for _, x := range waits {
		if x.Op != "" {
			byOp[x.Op] = nil
		}
		if hasLeft(x) {
			left++
		}
	}
	for i := range run.Exchanges { // whoever waits for the operation, outside the window too
		x := &run.Exchanges[i]
		if _, judged := byOp[x.Op]; judged && c.links.has(x.Edge) {
			byOp[x.Op] = append(byOp[x.Op], x)
		}
	}
	for i := range run.Exchanges {
		x := &run.Exchanges[i]
		if x.Method == "" || len(byOp[x.Op]) == 0 || !c.isBehind(x) || !matchPath(c.WorkPath, x.Path) {
			continue
		}
		if since, orphan := c.orphan(x, byOp[x.Op]); orphan {
			lines = append(lines, fmt.Sprintf("%s %s %s on %s at %s, %s too late", x.Op, x.Method, x.Path, x.Edge, short(run.T(x.At)), short(since)))
		}
	}
	return lines, left
}

// orphan: all that waited for this work have ended, the last of them because
// its caller left. A caller that still waits at another instance waits for other work.
func (c *timeout) orphan(work *record.Exchange, waits []*record.Exchange) (since time.Duration, orphan bool) {
	caller, _ := ends(work.Edge)
	var last *record.Exchange
	for _, x := range waits {
		_, callee := ends(x.Edge)
		if !c.behind[callee][caller] || x.At > work.At {
			continue
		}
		if last == nil || x.At+x.Dur > last.At+last.Dur {
			last = x
		}
	}
	if last == nil || !hasLeft(last) {
		return 0, false
	}
	since = time.Duration(work.At - last.At - last.Dur)
	return since, since > time.Duration(c.NoWorkAfter)
}
