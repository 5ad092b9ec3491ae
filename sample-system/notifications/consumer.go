// Durable consumer with several messages in flight.
//
// Answers: one message that cannot be handled and would hold up all behind it.
// A message that fails is given back with a delay, and others pass it.
// Numbers: 8 workers, because a mail takes about a millisecond; 256 messages
// unacknowledged at most, far more than wait for a redelivery at a time; 5 s
// until a message whose worker died is delivered again.
// Costs: mails are not sent in the order of their events.
// Breaks without it: scenario poison-notification. Its off switch is that of
// the dead letters, see deadletter.go.

package notifications

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
)

const (
	workers        = 8
	maxUnacked     = 256
	redeliverAfter = 5 * time.Second
)

type consumer struct {
	bus       *bus.Bus
	log       *slog.Logger
	mailbox   *mailbox
	dead      *deadLetters
	results   *prometheus.CounterVec
	lag       prometheus.Observer
	consuming *atomic.Bool
}

// run consumes until ctx ends, starting over when the iterator gives up.
func (c *consumer) run(ctx context.Context) error {
	if c.bus.Ensure(ctx) != nil {
		return nil // ended before the bus came up
	}
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	for failures := 1; ; failures++ {
		err := c.consume(ctx, func() { failures = 0; c.consuming.Store(true) })
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("consuming interrupted", "error", err)
		if backoff.Wait(ctx, pause.Delay(max(failures, 1)), nil) != nil {
			return nil
		}
	}
}

func (c *consumer) consume(ctx context.Context, started func()) error {
	durable, err := c.bus.JetStream.CreateOrUpdateConsumer(ctx, bus.OrdersStream, jetstream.ConsumerConfig{
		Durable:       "notifications",
		FilterSubject: bus.ConfirmedSubject,
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       redeliverAfter,
		MaxAckPending: maxUnacked,
		MaxDeliver:    -1, // we count ourselves: the server would only stop delivering, and lose the message
	})
	if err != nil {
		return fmt.Errorf("create consumer: %w", err)
	}
	messages, err := durable.Messages(jetstream.PullMaxMessages(4*workers), jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second))
	if err != nil {
		return fmt.Errorf("pull messages: %w", err)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	started()
	return c.dispatch(ctx, messages)
}

// dispatch hands messages to the workers and waits for these at the end.
func (c *consumer) dispatch(ctx context.Context, messages jetstream.MessagesContext) error {
	queue := make(chan jetstream.Msg) // unbuffered: what no worker can take stays in the stream
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(queue)
	for range workers {
		wg.Go(func() {
			for msg := range queue {
				c.handle(ctx, msg)
			}
		})
	}
	for {
		msg, err := messages.Next()
		switch {
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			continue // the iterator pulls again by itself
		case err != nil:
			return fmt.Errorf("next message: %w", err)
		}
		queue <- msg
	}
}

// handle sends the mail of one message; what fails is up to the dead letters.
func (c *consumer) handle(ctx context.Context, msg jetstream.Msg) {
	result, err := c.process(ctx, msg)
	if err != nil {
		result = c.dead.failed(ctx, msg, err)
	} else if err = msg.Ack(); err != nil {
		c.log.Warn("acknowledgement failed, the message will come again", "error", err)
	}
	c.results.WithLabelValues(result).Inc()
}

func (c *consumer) process(ctx context.Context, msg jetstream.Msg) (result string, err error) {
	e, err := decodeEvent(msg.Data())
	if err != nil {
		return "", err
	}
	first, err := c.mailbox.send(ctx, e)
	if err != nil {
		return "", err
	}
	if !first {
		return "duplicate", nil
	}
	c.lag.Observe(time.Since(e.confirmed()).Seconds())
	return "sent", nil
}
