// Load shedding: bounded work and a queue bounded by waiting time.
//
// Answers: more requests than can be served, and a dependency that hangs. A
// queue without a bound makes everybody wait until nobody is still there for
// the answer, and lasts long after the load has gone. Here requests beyond those
// in work wait in a queue as long as a burst may last; when the queue has not
// been empty for that long it is no burst but overload, and from then on nobody
// waits longer than a moment (controlled delay). The rest is refused at once,
// with Retry-After, while it is still cheap.
// Numbers: 256 in work: at 100 requests/s that is enough for answers of 2.5 s,
// and at the 0.5 ms of CPU that a request costs here they are done within 130
// ms. Queueing 100 ms smooths a burst; 10 ms in overload keep the workers busy
// and no more. At most 1024 wait, to bound memory. SHOP_CONCURRENCY sets another
// number of requests in work.
// Costs: a 503 for what could have been served had it waited.
// Breaks without it: TestShedding. Off switch: D29, a queue
// without bounds that everybody waits in to the end.

package service

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/defect"
)

const (
	maxInWork    = 256
	maxQueued    = 1024
	burstWait    = 100 * time.Millisecond
	overloadWait = 10 * time.Millisecond
)

type shedder struct {
	slots   chan struct{}
	endless bool // D29
	shed    prometheus.Counter

	mu        sync.Mutex
	queued    int
	lastEmpty time.Time // when nobody waited, last
}

func newShedder(h *Host) *shedder {
	s := &shedder{
		slots:     make(chan struct{}, cmp.Or(h.Concurrency, maxInWork)),
		endless:   h.Defects.Has(defect.UnboundedQueue),
		shed:      h.Counter("http_server_shed_total", "Requests refused because of overload.").WithLabelValues(),
		lastEmpty: time.Now(),
	}
	h.GaugeFunc("http_server_in_work", "Requests being served.", nil, func() float64 { return float64(len(s.slots)) })
	h.GaugeFunc("http_server_queued", "Requests waiting to be served.", nil, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.queued)
	})
	return s
}

// admit waits for a slot, and reports whether there is one in time. Who has
// one must leave.
func (s *shedder) admit(ctx context.Context) bool {
	select {
	case s.slots <- struct{}{}:
		s.emptied()
		return true
	default:
	}
	if s.endless {
		s.enqueue()
		defer s.dequeue()
		s.slots <- struct{}{}
		return true
	}
	wait, ok := s.enqueue()
	if !ok {
		s.shed.Inc()
		return false
	}
	defer s.dequeue()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case s.slots <- struct{}{}:
		return true
	case <-timer.C:
		s.shed.Inc()
	case <-ctx.Done(): // nobody waits for it any more
	}
	return false
}

func (s *shedder) leave() { <-s.slots }

// enqueue says how long to wait, false if too many wait already.
func (s *shedder) enqueue() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued == 0 {
		s.lastEmpty = time.Now()
	}
	if s.queued >= maxQueued && !s.endless {
		return 0, false
	}
	s.queued++
	if time.Since(s.lastEmpty) > burstWait {
		return overloadWait, true
	}
	return burstWait, true
}

func (s *shedder) dequeue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queued--
}

// emptied notes that a request needed no queue.
func (s *shedder) emptied() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued == 0 {
		s.lastEmpty = time.Now()
	}
}

func overloaded(w http.ResponseWriter) Problem {
	w.Header().Set("Retry-After", "1")
	return Problem{Status: http.StatusServiceUnavailable, Title: "overloaded", Detail: "too many requests in work"}.NotExecuted()
}
