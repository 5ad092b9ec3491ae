package process

import (
	"fmt"
	"sync"
	"time"

	"squall/runner/targets"
)

// feedSize bounds how many events may wait for a slow reader.
const feedSize = 1024

// feed is a bounded queue of events. It never blocks the writer: what does
// not fit is counted, and the count delivered as an event of its own.
type feed struct {
	mu      sync.Mutex
	ch      chan targets.Event
	dropped int
	closed  bool
}

func newFeed(size int) *feed { return &feed{ch: make(chan targets.Event, size)} }

func (f *feed) put(ev targets.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	if f.dropped > 0 && f.offer(droppedEvent(f.dropped)) {
		f.dropped = 0
	}
	if f.dropped > 0 || !f.offer(ev) {
		f.dropped++
	}
}

func (f *feed) offer(ev targets.Event) bool {
	select {
	case f.ch <- ev:
		return true
	default:
		return false
	}
}

func droppedEvent(n int) targets.Event {
	return targets.Event{At: time.Now(), Event: eventDropped, Detail: fmt.Sprintf("%d events: the reader was too slow", n)}
}

// close ends the queue for its reader; later events go nowhere. Idempotent.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.closed = true
		close(f.ch)
	}
}

// hub hands every event to every subscriber.
type hub struct {
	mu     sync.Mutex
	feeds  map[*feed]struct{}
	closed bool
}

func newHub() *hub { return &hub{feeds: map[*feed]struct{}{}} }

func (h *hub) subscribe() *feed {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := newFeed(feedSize)
	if h.closed {
		f.close()
		return f
	}
	h.feeds[f] = struct{}{}
	return f
}

func (h *hub) unsubscribe(f *feed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.feeds, f)
	f.close()
}

func (h *hub) publish(ev targets.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for f := range h.feeds {
		f.put(ev)
	}
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for f := range h.feeds {
		f.close()
	}
}
