package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

// redriver looks after the dead letters of one consumer, every two seconds: it
// replays by itself those that may have healed, and makes letters of what the
// server has given up. It remembers nothing beyond its process: to replay a
// letter twice has no effect.
type redriver struct {
	bus      *Bus
	h        *service.Host
	dead     *deadLetters
	consumer string
	stream   jetstream.Stream // of the dead letters; nil until it was there
	next     uint64           // first letter that it has not settled
	replays  prometheus.Counter
}

func newRedriver(h *service.Host, b *Bus, consumer string, dead *deadLetters) *redriver {
	return &redriver{
		bus: b, h: h, dead: dead, consumer: consumer, next: 1,
		replays: h.Counter("dlq_redriven_total", "Dead letters replayed by themselves.", "consumer").WithLabelValues(consumer),
	}
}

func (r *redriver) run(ctx context.Context) error {
	if r.bus.Ensure(ctx) != nil {
		return nil // ended before the bus came up
	}
	failing := false
	for backoff.Wait(ctx, r.bus.times.redriveAfter/5, nil) == nil {
		err := r.round(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.h.Logger.Warn("dead letters not looked after, will be repeated", "error", err)
		}
		failing = err != nil
	}
	return nil
}

func (r *redriver) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if !r.bus.Connected() {
		return errors.New("bus disconnected")
	}
	if r.stream == nil {
		stream, err := r.bus.JetStream.Stream(ctx, DeadStream)
		if err != nil {
			return fmt.Errorf("open dead letters: %w", err)
		}
		r.stream = stream
	}
	if err := r.advisories(ctx); err != nil {
		return err
	}
	return r.letters(ctx)
}

// letters replays what is due. Letters come in the order of their deaths, so
// behind one that is too young all are.
func (r *redriver) letters(ctx context.Context) error {
	for {
		m, err := r.stream.GetMsg(ctx, r.next, jetstream.WithGetMsgSubject(DeadPrefix+r.consumer+".>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dead letters: %w", err)
		}
		l := readLetter(m)
		if r.bus.redrivable(l) {
			if time.Since(l.At) < r.bus.times.redriveAfter {
				return nil
			}
			if err := r.replay(ctx, l); err != nil {
				return err
			}
		}
		r.next = l.Seq + 1
	}
}

func (r *redriver) replay(ctx context.Context, l Letter) error {
	err := r.bus.Replay(ctx, l.Seq)
	switch {
	case err == nil:
		r.replays.Inc()
		r.h.Logger.Info("dead letter replayed", "key", l.Key, "seq", l.Seq, "cause", l.Cause)
	case errors.Is(err, ErrNoLetter): // somebody else was faster
		return nil
	case refused(err):
		r.h.Logger.Error("dead letter cannot be replayed", "key", l.Key, "seq", l.Seq, "error", err)
		return nil
	}
	return err
}

// advisory is what the server says when it has given up a message.
type advisory struct {
	Stream     string `json:"stream"`
	Seq        uint64 `json:"stream_seq"`
	Deliveries uint64 `json:"deliveries"`
}

// advisories makes letters of the messages that the server will not deliver any
// more, and removes its advisories. One that cannot be read, or whose message
// has left the stream, is only removed.
func (r *redriver) advisories(ctx context.Context) error {
	for {
		m, err := r.stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(advisories+r.consumer))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read advisories: %w", err)
		}
		if err := r.givenUp(ctx, m.Data); err != nil {
			return err
		}
		if err := r.stream.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
			return fmt.Errorf("remove advisory: %w", err)
		}
	}
}

func (r *redriver) givenUp(ctx context.Context, data []byte) error {
	var a advisory
	if err := json.Unmarshal(data, &a); err != nil || a.Stream != OrdersStream {
		r.h.Logger.Error("advisory cannot be read", "data", string(data), "error", err)
		return nil
	}
	source, err := r.bus.JetStream.Stream(ctx, a.Stream)
	if err != nil {
		return fmt.Errorf("open stream of advisory: %w", err)
	}
	m, err := source.GetMsg(ctx, a.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read message given up: %w", err)
	}
	return r.dead.store(ctx, letter(&delivery{stream: a.Stream, Message: Message{
		Subject: m.Subject, Header: m.Header, Data: m.Data, Seq: m.Sequence, Delivered: a.Deliveries, At: m.Time,
	}}, r.consumer, errors.New("the server gave up delivering")))
}
