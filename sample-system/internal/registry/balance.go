// Balancing over the instances of a service.
//
// Answers: one instance that is slower than its siblings, or has just been
// started: the call goes to whoever has the fewest of ours in flight for its
// weight, in turn among equals. So a repeated call usually meets another
// instance than the one that failed, which evict.go keeps out for a moment.
// Numbers: none. Each client counts its own calls only; with several clients
// that is nearly as good as knowing all, and needs no talk.
// Costs: a walk over the instances, a handful, under a mutex, for each call.
// Breaks without it: TestLeastInFlight, TestEqualsTakeTurns.
// Off switch: none.

package registry

import (
	"fmt"
	"sync"
	"time"
)

// pick chooses among the instances that match; all but the dark ones, if match
// is nil.
func (v *view) pick(match func(Instance) bool, now time.Time) (*member, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	usable := v.evictor.usable(v.members, now)
	v.turn++
	best := v.least(usable, match, now, true)
	if best == nil { // rather one that did not answer than none
		best = v.least(usable, match, now, false)
	}
	if best == nil {
		return nil, false, fmt.Errorf("%w of %s", ErrNone, v.ways.callee)
	}
	trial := best.health.failures > 0
	v.evictor.tried(&best.health, now)
	best.inFlight++
	return best, trial, nil
}

// least is the instance with the fewest calls in flight for its weight.
func (v *view) least(usable []*member, match func(Instance) bool, now time.Time, reachable bool) (best *member) {
	for i := range usable {
		m := usable[(v.turn+i)%len(usable)]
		wanted := !m.dark()
		if match != nil {
			wanted = match(m.Instance)
		}
		if !wanted || reachable && !v.evictor.reachable(m.health, now) {
			continue
		}
		if best == nil || (m.inFlight+1)*best.capacity() < (best.inFlight+1)*m.capacity() {
			best = m
		}
	}
	return best
}

func (m *member) capacity() int { return max(m.Weight, 1) }

func (v *view) ended(m *member, trial bool, err error, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	m.inFlight--
	v.evictor.ended(&m.health, trial, err, now)
}

// Pick chooses the instance for one call: among those that match (all but the
// dark ones, if match is nil) the one with the fewest calls in flight. The error
// is ErrNone. The caller must call Target.Done.
func (r *Resolver) Pick(match func(Instance) bool) (Target, error) {
	m, trial, err := r.view.pick(match, time.Now())
	if err != nil {
		return Target{}, err
	}
	var once sync.Once
	return r.target(m, func(err error) {
		once.Do(func() { r.view.ended(m, trial, err, time.Now()) })
	}), nil
}
