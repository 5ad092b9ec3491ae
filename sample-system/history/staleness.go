// Visible staleness.
//
// Answers: a view that is behind and does not say so. Each answer carries the
// moment up to which it is complete: now, when the projector has nothing to do;
// the time of the oldest event that it has not applied, when it is behind; and
// the last moment it was sure of, when the bus is away.
// Numbers: the bus is asked at most every 100 ms, for 300 ms at most, by one
// answer at a time: the others do not wait for a bus that hangs.
// Costs: one small request to the bus for that.
// Breaks without it: TestStaleness,
// TestStalenessDoesNotWait. No off switch.

package history

import (
	"context"
	"sync"
	"time"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

const askEvery = 100 * time.Millisecond

// backlog is what a consumer has not done yet.
type backlog interface {
	Oldest(ctx context.Context) (time.Time, error)
}

type staleness struct {
	consumer backlog

	asking  sync.Mutex
	askedAt time.Time // when the last answer came

	mu    sync.Mutex
	known time.Time // the view is complete up to here
}

func newStaleness(h *service.Host, c *bus.Consumer) *staleness {
	s := &staleness{consumer: c, known: time.Now()}
	h.GaugeFunc("history_staleness_seconds", "How far the view is behind.", nil, func() float64 {
		return time.Since(s.asOf(context.Background())).Seconds()
	})
	return s
}

// asOf is the moment up to which the view is complete. Only one caller at a time
// waits for the bus.
func (s *staleness) asOf(ctx context.Context) time.Time {
	if s.asking.TryLock() {
		defer s.asking.Unlock()
		s.ask(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

func (s *staleness) ask(ctx context.Context) {
	now := time.Now()
	if now.Sub(s.askedAt) < askEvery {
		return
	}
	oldest, err := s.consumer.Oldest(ctx)
	s.askedAt = time.Now()
	if err != nil {
		return // it stays at what was known
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known = oldest; oldest.IsZero() {
		s.known = now
	}
}
