// One worker at a time, and an orderly change to the next.
//
// Answers: instances that share an ordered consumer. If each took the next
// message, two of one key could be at work at once; so the server pins the
// consumer to one instance and the others stand by. When the pin moves, messages
// that the last holder had in hand are still to come again, and younger ones of
// the same keys must not go first: the new holder begins only when everything
// that is unacknowledged is in its hands, and then with the oldest.
// Numbers: the pin moves when its holder has not asked for 3 s; what it had in
// hand comes again within the ack wait of 5 s; so up to 8 s.
// Costs: those seconds; and a holder that was only stopped may finish what it
// has in hand beside the new one, so what a handler writes must carry a version.
// Breaks without it: TestTakeoverKeepsOrder. Off switch: D14 of lanes.go.

package bus

import (
	"cmp"
	"context"
	"slices"
	"time"
)

const (
	pinGroup  = "ordered"
	pinHeader = "Nats-Pin-Id" // set by the server on each delivery
	pinPoll   = 100 * time.Millisecond
)

type takeover struct {
	c       *Consumer
	pin     string
	waiting []*delivery // while others may still have older ones
	poll    *time.Timer // nil when nothing is waiting
}

func newTakeover(c *Consumer) *takeover { return &takeover{c: c} }

// arrived takes a delivery and returns those that may begin, in order. held
// says how many are in hand, this one included.
func (t *takeover) arrived(ctx context.Context, d *delivery, held func() int) []*delivery {
	changed := d.Header.Get(pinHeader) != t.pin
	t.pin = d.Header.Get(pinHeader)
	if !changed && t.poll == nil {
		return []*delivery{d}
	}
	t.waiting = append(t.waiting, d)
	if t.poll != nil {
		return nil // settled is due soon
	}
	return t.settled(ctx, held)
}

// again fires when settled is due.
func (t *takeover) again() <-chan time.Time {
	if t.poll == nil {
		return nil
	}
	return t.poll.C
}

// settled returns what waits once nobody else has anything in hand.
func (t *takeover) settled(ctx context.Context, held func() int) []*delivery {
	if !t.alone(ctx, held) {
		t.poll = time.NewTimer(pinPoll)
		return nil
	}
	ready := slices.SortedFunc(slices.Values(t.waiting), func(a, b *delivery) int { return cmp.Compare(a.Seq, b.Seq) })
	t.waiting, t.poll = nil, nil
	return ready
}

// alone reports whether all that is unacknowledged is in our hands.
func (t *takeover) alone(ctx context.Context, held func() int) bool {
	info, err := t.c.info(ctx)
	return err == nil && info.NumAckPending <= held()
}
