// What is in hand.
//
// Answers: messages that wait for a worker, or are tried again in place, for
// longer than the ack wait. The server would take them for lost and deliver them
// again: they would be done twice, and after a few times buried although nobody
// had tried them. So an instance takes in all it is sent, and has it kept from
// being redelivered until it is settled. One that dies keeps nothing.
// Numbers: kept three times per ack wait; 256 messages at most, the server's
// bound on what a group has not acknowledged.
// Costs: a small message for each one held, every 1.7 s; of instances that are
// slow, one may hold what another could have begun.
// Breaks without it: TestWaitingIsNotRedelivered. No off switch.

package bus

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

type hand struct {
	mu   sync.Mutex
	held map[uint64]*delivery
}

// take is false for a message that is in hand already, which happens when this
// process was stopped for longer than the ack wait.
func (x *hand) take(d *delivery) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.held[d.Seq] != nil {
		return false
	}
	x.held[d.Seq] = d
	return true
}

// drop is called for what is settled, or given back.
func (x *hand) drop(d *delivery) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.held, d.Seq)
}

// keep keeps what is in hand until ctx ends, and then forgets it: what is left
// comes again.
func (x *hand) keep(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, d := range x.oldest() {
				_ = d.msg.InProgress() // fails for one that has just been settled
			}
		case <-ctx.Done():
			x.mu.Lock()
			defer x.mu.Unlock()
			clear(x.held)
			return
		}
	}
}

// oldest is all that is in hand, the oldest first, so that it would also come
// again in that order.
func (x *hand) oldest() []*delivery {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.SortedFunc(maps.Values(x.held), func(a, b *delivery) int { return cmp.Compare(a.Seq, b.Seq) })
}
