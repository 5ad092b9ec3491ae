package orders

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

// publishAll publishes messages at once and returns the rows of those that the
// stream has confirmed.
func (r *relay) publishAll(ctx context.Context, wave []message) (sent []int64, err error) {
	pending := make([]*sending, 0, len(wave))
	for _, m := range wave {
		s, sendErr := r.send(ctx, m)
		if sendErr != nil {
			err = sendErr
			break
		}
		pending = append(pending, s)
	}
	for _, s := range pending {
		if waitErr := s.wait(ctx); waitErr != nil {
			err = errors.Join(err, waitErr)
			continue
		}
		sent = append(sent, s.id)
	}
	return sent, err
}

// post publishes a message without a look at what becomes of it (D21).
func (r *relay) post(ctx context.Context, m message) error {
	s, err := r.send(ctx, m)
	if err == nil {
		s.done(nil)
	}
	return err
}

// sending is a message under way to the stream.
type sending struct {
	message
	ack  jetstream.PubAckFuture
	done func(error)
}

func (r *relay) send(ctx context.Context, m message) (*sending, error) {
	msg := nats.NewMsg(m.subject)
	msg.Data = []byte(m.body)
	msg.Header.Set(jetstream.MsgIDHeader, m.msgID)
	msg.Header.Set(service.RequestIDHeader, m.order)
	_, done := r.h.Tracer.Produce(tracing.WithTraceparent(ctx, m.trace), m.subject, msg.Header)
	ack, err := r.bus.JetStream.PublishMsgAsync(msg)
	if err != nil {
		done(err)
		return nil, fmt.Errorf("publish event %s: %w", m.msgID, err)
	}
	return &sending{m, ack, done}, nil
}

// wait waits for the stream's confirmation; a failure comes after 2 s at the latest.
func (s *sending) wait(ctx context.Context) (err error) {
	select {
	case <-s.ack.Ok():
	case err = <-s.ack.Err():
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.done(err)
	if err != nil {
		return fmt.Errorf("publish event %s: %w", s.msgID, err)
	}
	return nil
}

// connected reports whether there is a node of the bus to publish to.
func (r *relay) connected(context.Context) error {
	if !r.bus.Connected() {
		return errors.New("no node of the bus is connected; events wait in the outbox")
	}
	return nil
}
