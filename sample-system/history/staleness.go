// Visible staleness.
//
// Answers: a view that is behind and does not say so. Each answer carries the
// moment up to which it is complete: now, when the projector has nothing to do;
// the time of the oldest event that it has not applied, when it is behind; and
// the last moment it was sure of, when the bus is away.
// Numbers: the bus is asked at most every 100 ms, for 300 ms at most, by one
// answer at a time: the others do not wait for a bus that hangs, and a scrape never does.
// Costs: one small request to the bus for that, and five a second for the scrapes.
// Breaks without it: TestStaleness,
// TestStalenessDoesNotWait. No off switch.

package history

import (
	"context"
	"sync"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

const askEvery = 100 * time.Millisecond

// backlog is what a bus.Consumer has not done yet.
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

func newStaleness(h *service.Host, c backlog) *staleness {
	s := &staleness{consumer: c, known: time.Now()}
	h.GaugeFunc("history_staleness_seconds", "How far the view is behind.", nil, func() float64 { return time.Since(s.last()).Seconds() })
	h.Go("staleness", s.watch)
	return s
}

// watch keeps it known for those who do not wait for the bus, such as a scrape.
func (s *staleness) watch(ctx context.Context) error {
	for backoff.Wait(ctx, 2*askEvery, nil) == nil {
		s.asOf(ctx)
	}
	return nil
}

// asOf is the moment up to which the view is complete. Only one caller at a time
// waits for the bus.
func (s *staleness) asOf(ctx context.Context) time.Time {
	if s.asking.TryLock() {
		defer s.asking.Unlock()
		s.ask(ctx)
	}
	return s.last()
}

func (s *staleness) last() time.Time {
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
