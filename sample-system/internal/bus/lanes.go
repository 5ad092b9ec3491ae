// Order per key.
//
// Answers: events of one order that overtake each other, and a message that
// fails and would hold up everything behind it. Each key is a lane: its messages
// are worked on one after the other, one that fails is repeated in place, and
// only its own lane waits; after the last attempt it goes to the dead letters
// and the lane moves on. What waits is kept from being redelivered (hand.go).
// Numbers: attempts and delays are those of deadletter.go; 8 lanes at work.
// Costs: messages of a key wait for each other, and one instance does all the
// work while the others stand by (takeover.go).
// Breaks without it: scenario poison-notification, TestLanes. Off switch: D14, one
// lane for all, and what fails is repeated for ever.

package bus

import (
	"context"
	"sync"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/defect"
)

type lanes struct {
	c     *Consumer
	block bool // D14
	slots chan struct{}

	mu     sync.Mutex
	queues map[string][]*delivery // by key; the first is at work
	came   int                    // and not settled yet
	work   sync.WaitGroup
}

func newLanes(c *Consumer) *lanes {
	return &lanes{
		c: c, block: c.h.Defects.Has(defect.PoisonBlocksLane), slots: make(chan struct{}, c.o.Workers),
		queues: map[string][]*delivery{},
	}
}

func (l *lanes) run(ctx context.Context, in <-chan *delivery) {
	defer l.work.Wait()
	t := newTakeover(l.c)
	for {
		select {
		case d, ok := <-in:
			if !ok {
				return
			}
			l.arrived()
			l.start(ctx, t.arrived(ctx, d, l.size))
		case <-t.again():
			l.start(ctx, t.settled(ctx, l.size))
		}
	}
}

func (l *lanes) arrived() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.came++
}

func (l *lanes) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.came
}

// start puts messages, in order, into their lanes.
func (l *lanes) start(ctx context.Context, ready []*delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range ready {
		key := l.key(d)
		l.queues[key] = append(l.queues[key], d)
		if len(l.queues[key]) == 1 {
			l.work.Go(func() { l.lane(ctx, key, d) })
		}
	}
}

func (l *lanes) key(d *delivery) string {
	if l.block {
		return ""
	}
	return d.Key()
}

// lane works until its queue is empty.
func (l *lanes) lane(ctx context.Context, key string, d *delivery) {
	for d != nil {
		l.settle(ctx, d)
		d = l.next(key, d)
	}
}

func (l *lanes) next(key string, done *delivery) *delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.c.hand.drop(done)
	l.came--
	l.queues[key] = l.queues[key][1:]
	if len(l.queues[key]) == 0 {
		delete(l.queues, key)
		return nil
	}
	return l.queues[key][0]
}

// settle tries one message until it is done, dead, or the service ends.
func (l *lanes) settle(ctx context.Context, d *delivery) {
	for ctx.Err() == nil {
		err := l.try(ctx, d)
		if err == nil {
			return
		}
		if !l.block && l.c.dead.last(d) {
			l.c.count(l.c.dead.bury(ctx, d, err))
			return
		}
		l.c.count("retry")
		if backoff.Wait(ctx, l.c.dead.delay(d.attempts()), nil) != nil {
			return
		}
		d.repeats++
	}
}

func (l *lanes) try(ctx context.Context, d *delivery) error {
	l.slots <- struct{}{}
	defer func() { <-l.slots }()
	return l.c.work(ctx, d)
}
