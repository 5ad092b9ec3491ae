// Eviction of dead instances, and its limit.
//
// Answers: an instance that has died gets its share of the calls until it has
// left every client's view: after its lease, or, for a client that has just
// failed to reach it, for a while at once. But when most of a service vanishes
// together, then rather the registry is wrong, or nothing would be left to call;
// so they stay (the panic threshold of Envoy), and so does the last one. Dark
// instances take no part in that: they would not carry what the others leave,
// and nobody must go to a dead one on purpose.
// Numbers: more than half of those known within the last 30 s must be alive for
// the others to go. A call without an answer takes its instance out for 100 ms,
// a further one after that for twice as long, up to 2 s: below the lease, since
// what is out for longer has left the registry. Then one call is the trial.
// Costs: up to 30 s of failing first attempts when more than half really died.
// Breaks without it: scenario instance-killed, TestDeadInstanceLeaves, TestNoMassEviction, TestDarkIsNotTheLast,
// TestUnreachableInstanceIsAvoided.
// Off switch: D22. Nobody leaves, whether dead, drained or unreachable.

package registry

import (
	"context"
	"errors"
	"time"

	"squall/sample-system/internal/defect"
)

const (
	remember     = 30 * time.Second // how long who has gone counts for the panic threshold
	firstPenalty = 100 * time.Millisecond
	maxPenalty   = 2 * time.Second
	trialTime    = time.Second // for the one call that finds out whether it is back
)

type evictor struct{ off bool }

func newEvictor(defects defect.Set) evictor { return evictor{off: defects.Has(defect.StaleRegistry)} }

// forget reports whether a member that has gone need not be remembered. One
// that said goodbye is not missed, unless no other carries load.
func (e evictor) forget(m *member, said bool, others int, now time.Time) bool {
	return !e.off && others > 0 && (said || now.Sub(m.gone) >= remember)
}

// usable are the members that may be called.
func (e evictor) usable(members []*member, now time.Time) []*member {
	if e.off {
		return members
	}
	var dark, all, alive, recent []*member // recent ones include those alive
	for _, m := range members {
		there := m.gone.IsZero()
		switch {
		case m.dark() && there:
			dark = append(dark, m)
			continue
		case m.dark():
			continue
		case there:
			alive = append(alive, m)
		}
		all = append(all, m)
		if there || now.Sub(m.gone) < remember {
			recent = append(recent, m)
		}
	}
	switch {
	case len(alive) == 0:
		return append(all, dark...)
	case len(alive)*2 < len(recent):
		return append(recent, dark...)
	default:
		return append(alive, dark...)
	}
}

// health is what this client has seen of an instance itself.
type health struct {
	failures int       // calls without an answer in a row
	out      time.Time // no calls until then
}

// reachable reports whether an instance may take a call as far as this client
// has seen.
func (e evictor) reachable(h health, now time.Time) bool {
	return e.off || h.failures == 0 || !now.Before(h.out)
}

// tried is asked to note that an instance takes a call: if it had been out,
// others wait for how that goes.
func (e evictor) tried(h *health, now time.Time) {
	if h.failures > 0 {
		h.out = now.Add(trialTime)
	}
}

// ended notes the end of a call.
func (e evictor) ended(h *health, trial bool, err error, now time.Time) {
	switch {
	case err == nil:
		*h = health{}
	case errors.Is(err, context.Canceled): // by whoever asked: says nothing about the instance
		if trial {
			h.out = now
		}
	case trial || h.failures == 0:
		h.out = now.Add(min(firstPenalty<<h.failures, maxPenalty))
		h.failures = min(h.failures+1, 10)
	}
}
