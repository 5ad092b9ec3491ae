package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// scanPatience bounds the wait for the next message of a scan, for the bus may
// go away in its middle.
const scanPatience = 5 * time.Second

// Scan gives f all messages of the orders' stream behind position after, up to
// the last one there is now, and returns the position it came to.
func (b *Bus) Scan(ctx context.Context, after uint64, f func(Message) error) (last uint64, err error) {
	stream, err := b.JetStream.Stream(ctx, OrdersStream)
	if err != nil {
		return after, fmt.Errorf("open stream: %w", err)
	}
	end := stream.CachedInfo().State.LastSeq
	if end <= after {
		return after, nil
	}
	reader, err := b.JetStream.OrderedConsumer(ctx, OrdersStream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, InactiveThreshold: 30 * time.Second,
	})
	if err != nil {
		return after, fmt.Errorf("open reader: %w", err)
	}
	messages, err := reader.Messages()
	if err != nil {
		return after, fmt.Errorf("read stream: %w", err)
	}
	defer messages.Stop()
	for last = after; last < end; {
		msg, err := next(ctx, messages)
		if err != nil {
			return last, fmt.Errorf("read stream behind %d: %w", last, err)
		}
		d, err := newDelivery(msg)
		if err != nil {
			return last, err
		}
		if err := f(d.Message); err != nil {
			return last, err
		}
		last = d.Seq
	}
	return last, nil
}

func next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, scanPatience)
	defer cancel()
	return messages.Next(jetstream.NextContext(ctx))
}
