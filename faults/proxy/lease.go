package proxy

import "time"

// maxRest bounds how long the lease keeper sleeps when no lease runs.
const maxRest = time.Hour

// expireLeases removes stages whose owner fell silent. A runner that dies
// leaves no fault behind.
func (l *link) expireLeases() {
	timer := time.NewTimer(maxRest)
	defer timer.Stop()
	for {
		timer.Reset(l.nextExpiry())
		select {
		case <-l.ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
			// Errors are of listening again; the next status shows the edge refused.
			l.remove(l.ctx, l.expired())
		}
	}
}

func (l *link) wakeLeases() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *link) nextExpiry() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := maxRest
	for _, st := range l.current().stages {
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
		if st.Owner == owner && !st.expires.IsZero() {
			st.expires = time.Now().Add(ttl)
			n++
		}
	}
	l.mu.Unlock()
	l.wakeLeases()
	return n
}
