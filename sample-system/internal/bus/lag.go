package bus

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/backoff"
)

// infoTime bounds a question about a consumer's state, and lagEvery is how often
// it is asked how far behind it is.
const (
	infoTime = 300 * time.Millisecond
	lagEvery = 200 * time.Millisecond
)

var errNotConsuming = errors.New("not consuming")

func (c *Consumer) info(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	durable := c.durable.Load()
	if durable == nil || !c.bus.Connected() {
		return nil, errNotConsuming // at once
	}
	ctx, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	return (*durable).Info(ctx)
}

// lagging is what was last known of a lag. A scrape does not wait for the bus:
// when that is away, everything else is wanted all the more.
type lagging struct{ bits atomic.Uint64 }

func newLagging() *lagging {
	l := &lagging{}
	l.set(math.NaN())
	return l
}

func (l *lagging) set(v float64) { l.bits.Store(math.Float64bits(v)) }

func (l *lagging) get() float64 { return math.Float64frombits(l.bits.Load()) }

// watchLag keeps the lag until ctx ends.
func (c *Consumer) watchLag(ctx context.Context) error {
	defer c.lagging.set(math.NaN())
	for backoff.Wait(ctx, lagEvery, nil) == nil {
		c.lagging.set(c.lag(ctx))
	}
	return nil
}

// lag is NaN while it is unknown.
func (c *Consumer) lag(ctx context.Context) float64 {
	info, err := c.info(ctx)
	if err != nil {
		return math.NaN()
	}
	return float64(info.NumPending) + float64(info.NumAckPending)
}

// Oldest is when the oldest message that this consumer has not settled was
// stored; zero when there is none.
func (c *Consumer) Oldest(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, infoTime)
	defer cancel()
	info, err := c.info(ctx)
	if err != nil {
		return time.Time{}, err
	}
	if info.NumPending == 0 && info.NumAckPending == 0 {
		return time.Time{}, nil
	}
	stream, err := c.bus.JetStream.Stream(ctx, OrdersStream)
	if err != nil {
		return time.Time{}, err
	}
	m, err := stream.GetMsg(ctx, info.AckFloor.Stream+1, jetstream.WithGetMsgSubject(OrdersSubjects))
	if err != nil {
		return time.Time{}, err
	}
	return m.Time, nil
}
