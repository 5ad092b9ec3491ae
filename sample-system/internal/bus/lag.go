package bus

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// infoTime bounds a question about a consumer's state.
const infoTime = 300 * time.Millisecond

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

// lag is read at each scrape.
func (c *Consumer) lag() float64 {
	info, err := c.info(context.Background())
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
