package proxy

import (
	"slices"
	"time"
)

const (
	// maxRest bounds how long the keeper sleeps when no lease runs.
	maxRest = time.Hour
	// rampStep is how often a ramp looks for connections whose turn has come.
	rampStep = 20 * time.Millisecond
)

// keep does what the passing of time or an event elsewhere asks for: it removes
// stages whose owner fell silent, so that a runner that dies leaves no fault
// behind, lets act those whose trigger has fired, and lets ramps grow.
func (l *link) keep() {
	timer := time.NewTimer(maxRest)
	defer timer.Stop()
	for {
		timer.Reset(l.rest())
		select {
		case <-l.ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
			// Errors are of listening again; the next status shows the edge refused.
			l.remove(l.ctx, l.expired())
		}
		if s := l.current(); s.growing || slices.ContainsFunc(s.stages, s.overslept) {
			l.apply(func(stages []*stage) []*stage { return stages })
		}
	}
}

// overslept tells whether the stage has woken up and is not in force yet.
func (s *setting) overslept(st *stage) bool { return st.awake() && !slices.Contains(s.awake, st) }

func (l *link) wakeKeeper() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// rest is how long nothing has to be done.
func (l *link) rest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, rest := l.current(), maxRest
	if s.growing {
		rest = rampStep
	}
	for _, st := range s.stages {
		if !st.expires.IsZero() {
			rest = min(rest, max(time.Until(st.expires), 0))
		}
	}
	return rest
}

// expired matches the stages whose lease is over now.
func (l *link) expired() func(*stage) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	over := map[*stage]bool{}
	for _, st := range l.current().stages {
		over[st] = !st.expires.IsZero() && !time.Now().Before(st.expires)
	}
	return func(st *stage) bool { return over[st] }
}

// renew extends the leases of an owner's stages to ttl from now and says how
// many there are. Stages put without a lease get none.
func (l *link) renew(owner string, ttl time.Duration) (n int) {
	l.mu.Lock()
	for _, st := range l.current().stages {
		if st.Owner != owner || st.expires.IsZero() {
			continue
		}
		if st.renewPackets(ttl) != nil {
			st.expires = time.Now() // the kernel has ended it while we stood still
			continue
		}
		st.expires = time.Now().Add(ttl)
		n++
	}
	l.mu.Unlock()
	l.wakeKeeper()
	return n
}
