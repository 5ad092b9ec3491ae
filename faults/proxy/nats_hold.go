package proxy

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxNATSHeld bounds the bytes that wait in one direction; then nothing more is
// read there until some have gone on.
const maxNATSHeld = 16 << 20

// natsHold keeps the messages that rules delay, until they are due.
type natsHold struct {
	wake  chan struct{} // cap 1: something else is due first
	moved chan struct{} // cap 1: something went on
	count atomic.Int64

	mu      sync.Mutex // guards what follows
	queue   []natsHeld // by the time they are due
	bytes   int
	running bool // somebody releases what is due
}

type natsHeld struct {
	raw   []byte
	stage *stage
	since time.Time
	due   time.Time
}

func newNATSHold() natsHold {
	return natsHold{wake: make(chan struct{}, 1), moved: make(chan struct{}, 1)}
}

func (h *natsHold) some() bool { return h.count.Load() > 0 }

// behind tells whether messages of that stage are held, and until when.
func (h *natsHold) behind(st *stage) (due time.Time, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range slices.Backward(h.queue) {
		if m.stage == st {
			return m.due, true
		}
	}
	return due, false
}

// put holds a message. It waits while too much is held, unless done is closed.
func (h *natsHold) put(m natsHeld, done <-chan struct{}) {
	for !h.add(m) {
		select {
		case <-h.moved:
		case <-done:
			return
		}
	}
	signal(h.wake)
}

func (h *natsHold) add(m natsHeld) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes > maxNATSHeld {
		return false
	}
	i, _ := slices.BinarySearchFunc(h.queue, m.due, func(m natsHeld, due time.Time) int {
		if m.due.After(due) {
			return 1
		}
		return -1 // after all that are due at the same time
	})
	h.queue = slices.Insert(h.queue, i, m)
	h.bytes += len(m.raw)
	h.count.Add(1)
	return true
}

// take takes out one message that may go on: it is due, or its stage is not in
// force under s. Without a setting all may.
func (h *natsHold) take(now time.Time, s *setting) (m natsHeld, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.queue, func(m natsHeld) bool {
		return s == nil || !m.due.After(now) || !slices.Contains(s.bus, m.stage)
	})
	if i < 0 {
		return m, false
	}
	m = h.queue[i]
	h.queue = slices.Delete(h.queue, i, i+1)
	h.bytes -= len(m.raw)
	h.count.Add(-1)
	signal(h.moved)
	return m, true
}

// due is when the next message may go on; found is false when none is held.
func (h *natsHold) due() (at time.Time, found bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.queue) == 0 {
		return at, false
	}
	return h.queue[0].due, true
}

// drain waits until nothing is held.
func (h *natsHold) drain(done <-chan struct{}) {
	for h.some() {
		select {
		case <-h.moved:
		case <-done:
			return
		}
	}
}

// signal tells without waiting.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// delay holds a message for its stage.
func (l *natsLane) delay(m natsHeld) {
	if !l.hold.running {
		l.hold.running = true
		l.n.lanes.Go(l.releases)
	}
	l.hold.put(m, l.n.done)
}

// releases passes on what is due until the connection ends.
func (l *natsLane) releases() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s := l.n.link.current()
		l.release(s)
		if at, found := l.hold.due(); found {
			timer.Reset(time.Until(at))
		} else {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-s.changed: // perhaps a stage went
		case <-l.hold.wake:
		case <-l.n.done:
			return
		}
	}
}

// release passes on what is due, between two operations.
func (l *natsLane) release(s *setting) {
	l.writing.Lock()
	defer l.writing.Unlock()
	for {
		m, found := l.hold.take(time.Now(), s)
		if !found {
			return
		}
		m.stage.delays.add(time.Since(m.since))
		if _, err := l.out.Write(m.raw); err != nil {
			l.n.reset()
			return
		}
	}
}
