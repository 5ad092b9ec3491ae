package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"squall/faults"
)

// tally is what the stages of one fault share, whatever links they stand on: the
// count of units, the spent part of the cap, and since when they are awake.
type tally struct {
	seen  atomic.Uint64 // units that match
	taken atomic.Uint64 // of the cap
	woken atomic.Pointer[time.Time]

	limiter *rate.Limiter // of a rate limit; nil otherwise

	after *faults.Trigger
	left  uint64        // events the trigger still waits for; guarded by tallies.mu
	links map[*link]int // stages by link; guarded by tallies.mu
}

func newTally(s faults.Stage) *tally {
	t := &tally{after: s.After, limiter: newLimiter(s), links: map[*link]int{}}
	if s.After == nil {
		t.wake()
	} else {
		t.left = max(s.After.Count, 1)
	}
	return t
}

func (t *tally) wake() {
	now := time.Now()
	t.woken.Store(&now)
}

// tallies finds the tally of a stage by owner and id.
type tallies struct {
	asleep atomic.Int64 // tallies whose trigger has not fired
	mu     sync.Mutex
	known  map[tallyKey]*tally
}

type tallyKey struct{ owner, id string }

func newTallies() *tallies { return &tallies{known: map[tallyKey]*tally{}} }

// join gives the stage its tally. A stage that takes the place of one goes on
// counting where that was, unless it waits for something else or limits otherwise.
func (ts *tallies) join(l *link, st *stage) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	key := tallyKey{st.Owner, st.id}
	t := ts.known[key]
	if t == nil || !t.serves(st.Stage) {
		t = newTally(st.Stage)
		ts.known[key] = t
		if t.after != nil {
			ts.asleep.Add(1)
		}
	}
	t.links[l]++
	st.tally = t
}

// serves tells whether a stage like s may go on with the tally.
func (t *tally) serves(s faults.Stage) bool {
	if want := newLimiter(s); want == nil || t.limiter == nil {
		if want != t.limiter {
			return false
		}
	} else if want.Limit() != t.limiter.Limit() || want.Burst() != t.limiter.Burst() {
		return false
	}
	return t.after == s.After || t.after != nil && s.After != nil && *t.after == *s.After
}

// newLimiter is nil where s is no rate limit.
func newLimiter(s faults.Stage) *rate.Limiter {
	if s.HTTP == nil || s.HTTP.Action != faults.HTTPRateLimit {
		return nil
	}
	return rate.NewLimiter(rate.Limit(s.HTTP.Rate), s.HTTP.Burst)
}

// leave forgets a stage that went.
func (ts *tallies) leave(l *link, st *stage) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := st.tally
	if t.links[l]--; t.links[l] == 0 {
		delete(t.links, l)
	}
	if len(t.links) > 0 {
		return
	}
	if t.woken.Load() == nil {
		ts.asleep.Add(-1)
	}
	if key := (tallyKey{st.Owner, st.id}); ts.known[key] == t {
		delete(ts.known, key)
	}
}

// event is what a trigger may wait for: how an exchange came out.
type event struct {
	link         *link
	method, path string
	status       int
	code         string // of a gRPC call
	err          string
}

// notice wakes the stages that waited for this event.
func (ts *tallies) notice(e event) {
	if ts.asleep.Load() == 0 {
		return
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	for _, t := range ts.known {
		if t.woken.Load() != nil || !e.fires(t.after) {
			continue
		}
		if t.left--; t.left > 0 {
			continue
		}
		t.wake()
		ts.asleep.Add(-1)
		for l := range t.links {
			l.wakeKeeper()
		}
	}
}

func (e event) fires(t *faults.Trigger) bool {
	switch {
	case !e.link.called(t.Edge),
		t.Method != "" && t.Method != e.method,
		t.Path != "" && !matchPath(t.Path, e.path),
		t.Error != "" && t.Error != e.err,
		t.Status != "" && t.Status != e.code && !matchStatus(t.Status, e.status):
		return false
	}
	return true
}

// matchStatus: 503, or 5xx for all of them.
func matchStatus(want string, status int) bool {
	got := []byte{byte('0' + status/100), byte('0' + status/10%10), byte('0' + status%10)}
	for i := range got {
		if i >= len(want) || want[i] != got[i] && want[i] != 'x' {
			return false
		}
	}
	return len(want) == len(got)
}

// awake tells whether the stage may act: its trigger, if any, has fired.
func (s *stage) awake() bool { return s.tally.woken.Load() != nil }

// ramp is how far the stage has grown, from 0 to 1.
func (s *stage) ramp(now time.Time) float64 {
	if s.Ramp <= 0 {
		return 1
	}
	woken := s.tally.woken.Load()
	if woken == nil {
		return 0
	}
	return min(max(float64(now.Sub(*woken))/float64(s.Ramp), 0), 1)
}

// growsInSize tells whether a ramp makes the stage stronger, not more frequent.
func (s *stage) growsInSize() bool {
	if s.HTTP != nil {
		return s.HTTP.Action == faults.HTTPDelay
	}
	if s.Bus != nil {
		return s.Bus.Action == faults.BusDelay
	}
	return len(s.Toxics) > 0 && !slices.ContainsFunc(s.Toxics, func(t faults.Toxic) bool {
		return t.Type != "latency" && t.Type != "bandwidth"
	})
}

// takes counts one unit that matches and tells whether the stage hits it.
func (s *stage) takes() (n uint64, hit bool) {
	n = s.tally.seen.Add(1)
	return n, s.picks(n) && s.spend()
}

// picks tells whether unit n is among those to hit. It depends on seed, id and n
// alone; under a ramp it grows from no to yes with time.
func (s *stage) picks(n uint64) bool {
	if !s.Match.Counts(n) {
		return false
	}
	share := 1.0
	if s.Match.Probability > 0 {
		share = s.Match.Probability
	}
	if !s.growsInSize() {
		share *= s.ramp(time.Now())
	}
	return share >= 1 || chance(s.Seed, s.id, n) < share
}

// spend takes one of the cap, if there is one left.
func (s *stage) spend() bool {
	if s.Cap == 0 {
		return true
	}
	for {
		n := s.tally.taken.Load()
		if n >= s.Cap {
			return false
		}
		if s.tally.taken.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Act is one decision of a stage to act on a unit.
type Act struct {
	Stage string `json:"stage"`
	N     uint64 `json:"n"`    // index of the unit among those that match, from 1
	What  string `json:"what"` // such as "status 503", "delay 103ms"
}

// choice is what a stage has decided about a connection.
type choice struct {
	stage *stage
	n     uint64 // index of the connection
	hit   bool   // once true it stays
}

// enrol numbers the connection for a stage that has come into force, or for
// those that are when the connection comes. link.mu is held, so that numbers
// follow the order of connections.
func (c *conn) enrol(st *stage) {
	if !st.perConnection() {
		return
	}
	c.choosing.Lock()
	defer c.choosing.Unlock()
	c.choices = slices.DeleteFunc(c.choices, func(x *choice) bool { return x.stage.gone() })
	c.choices = append(c.choices, &choice{stage: st, n: st.tally.seen.Add(1)})
}

// chosen tells whether the stage acts on the connection, as far as that is for
// the stage to say.
func (c *conn) chosen(st *stage) bool {
	c.choosing.Lock()
	defer c.choosing.Unlock()
	i := slices.IndexFunc(c.choices, func(x *choice) bool { return x.stage == st })
	if i < 0 {
		return false
	}
	x := c.choices[i]
	x.hit = x.hit || st.picks(x.n) && st.spend()
	return x.hit
}

// chosenOf is the first of the stages that acts on the connection; nil: none.
func (c *conn) chosenOf(stages []*stage) *stage {
	for _, st := range stages {
		if c.chosen(st) {
			return st
		}
	}
	return nil
}

// acts lists what has been decided about the connection as a whole.
func (c *conn) acts() (acts []Act) {
	c.choosing.Lock()
	defer c.choosing.Unlock()
	for _, x := range c.choices {
		if x.hit && !x.stage.gone() {
			acts = append(acts, Act{x.stage.id, x.n, x.stage.act()})
		}
	}
	return acts
}
