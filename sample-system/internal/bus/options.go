package bus

import (
	"context"
	"time"
)

// times are those that a test may want shorter.
type times struct {
	ackWait      time.Duration // until a message whose worker died comes again
	pinTTL       time.Duration // until an ordered consumer moves to another instance
	redeliver    time.Duration // until a message that failed comes again, the first time
	redriveAfter time.Duration // until a dead letter is replayed by itself
}

var defaultTimes = times{ackWait: 5 * time.Second, pinTTL: 3 * time.Second, redeliver: 200 * time.Millisecond, redriveAfter: 10 * time.Second}

// ConsumerOptions say how a service consumes the stream of orders.
type ConsumerOptions struct {
	Name     string   // durable consumer: instances that use the same name share its messages
	Subjects []string // default: all of the stream
	Workers  int      // handlers at work at a time, default 8

	// Ordered keeps the messages of one key in order, whatever fails and
	// whichever instance is alive. One instance works, the others stand by.
	Ordered bool

	// TTL after which a message is expired, 0 for never; Expired, if any, notes
	// durably that it was dropped.
	TTL     time.Duration
	Expired func(ctx context.Context, m Message) error
}
