package proxy

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// outages counts how often a flapping stage has taken its edge down, and for
// how long.
type outages struct {
	mu    sync.Mutex
	n     int
	whole time.Duration // of those that are over
	since time.Time     // zero: the edge is up
	err   error         // of listening again, if the last try failed
}

// turn notes that the edge went down, or up as far as err says.
func (o *outages) turn(down bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if down {
		o.n++
		o.since = time.Now()
		return
	}
	o.whole += time.Since(o.since)
	o.since, o.err = time.Time{}, err
}

// String says what was counted up to now.
func (o *outages) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	whole := o.whole
	if !o.since.IsZero() {
		whole += time.Since(o.since)
	}
	text := fmt.Sprintf("down %d times, %v in all", o.n, whole.Round(time.Millisecond))
	if o.err != nil {
		text += ", could not listen again: " + o.err.Error()
	}
	return text
}

// startFlaps gives each flapping stage that has come into force its clock.
// l.mu is held.
func (l *link) startFlaps(old, next *setting) {
	for _, st := range next.flaps {
		if !l.closed && !slices.Contains(old.flaps, st) {
			st.outages.turn(true, nil)
			l.wg.Go(func() { l.flap(st) })
		}
	}
}

// firstOutage is between half and all of the others: links with the same fault
// have the same seed, and would flap in step otherwise.
func (l *link) firstOutage(st *stage) time.Duration {
	return time.Duration((1 - chance(st.Seed, st.id+" on "+l.name, 0)/2) * float64(st.Flap.Down))
}

// flap takes the edge up and down by turns until the stage goes. The stage has
// come down with its edge; times are kept from the first turn, so none drifts.
func (l *link) flap(st *stage) {
	next := time.Now()
	turn := l.firstOutage(st)
	for down := true; ; {
		next = next.Add(turn)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-timer.C:
		case <-st.removed:
		case <-l.ctx.Done():
		}
		timer.Stop()
		if st.gone() || l.ctx.Err() != nil {
			return
		}
		down = !down
		turn = st.Flap.Up
		if down {
			turn = st.Flap.Down
		}
		err := l.change(l.ctx, func(stages []*stage) []*stage {
			st.down = down
			return stages
		})
		st.outages.turn(down, err)
	}
}
