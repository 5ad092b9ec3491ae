// Bounded redelivery and dead letters.
//
// Answers: a poison message, which fails however often it is delivered. It comes
// again after a growing delay, a few times, and then goes to a stream of its own
// with everything needed to understand and replay it; it is taken off the first
// only when it is there. A message whose handler never comes back (it kills the
// process) is told by its number of deliveries alone.
// Numbers: 4 deliveries with 200, 400 and 800 ms between them outlast a blip of
// a second; what takes longer is replayed later (replay.go). The server's own
// bound of 20 is only met by a consumer that dies again and again while it
// buries a message; its advisory is kept in the dead letters and acted on
// (redrive.go). 64 MB of dead letters, then the oldest go.
// Costs: someone has to look at the dead letters.
// Breaks without it: scenario poison-notification, TestPoison. Off switch: D13,
// delivered for ever, with no bound on the server either.

package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

const (
	maxDeliveries    = 4
	serverDeliveries = 20
	maxRedeliver     = 2 * time.Second
)

type deadLetters struct {
	bus      *Bus
	h        *service.Host
	consumer string
	total    prometheus.Counter
	off      bool // D13
}

func newDeadLetters(h *service.Host, b *Bus, consumer string) *deadLetters {
	return &deadLetters{
		bus: b, h: h, consumer: consumer, off: h.Defects.Has(defect.NoDeadLetters),
		total: h.Counter("dlq_messages_total", "Messages moved to the dead letters.", "consumer").WithLabelValues(consumer),
	}
}

// serverBound is how often the server delivers a message at most.
func (x *deadLetters) serverBound() int {
	if x.off {
		return -1
	}
	return serverDeliveries
}

// unanswered is the cause for a message that was delivered as often as it may
// be, and whose handlers said neither yes nor no.
func (x *deadLetters) unanswered(d *delivery) error {
	if x.off || d.Delivered <= maxDeliveries {
		return nil
	}
	return fmt.Errorf("delivered %d times without an answer", d.Delivered-1)
}

// last reports whether a message that has failed is to be buried.
func (x *deadLetters) last(d *delivery) bool { return !x.off && d.attempts() >= maxDeliveries }

// failed gives a message back for another delivery, or buries it after the
// last; it returns what became of it.
func (x *deadLetters) failed(ctx context.Context, d *delivery, cause error) (result string) {
	if x.last(d) {
		return x.bury(ctx, d, cause)
	}
	if err := d.msg.NakWithDelay(x.delay(d.attempts())); err != nil {
		x.h.Logger.Warn("message not given back, it comes again after the ack wait", "seq", d.Seq, "error", err)
	}
	return "retry"
}

// delay is the wait after an attempt; it doubles with each, counted from 1.
func (x *deadLetters) delay(attempts uint64) time.Duration {
	return min(x.bus.times.redeliver<<min(attempts-1, 10), maxRedeliver)
}

// bury stores a dead letter and takes the message off its stream. It tries
// until it succeeds or ctx ends, and keeps the message meanwhile: to give it
// back would spend the deliveries that it has no more of.
func (x *deadLetters) bury(ctx context.Context, d *delivery, cause error) (result string) {
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	for failures := 1; ; failures++ {
		err := x.store(ctx, letter(d, x.consumer, cause))
		if err == nil {
			break
		}
		x.h.Logger.Warn("dead letter not stored, will be repeated", "seq", d.Seq, "error", err)
		_ = d.msg.InProgress() // at worst it comes again
		if backoff.Wait(ctx, pause.Delay(failures), nil) != nil {
			return "retry"
		}
	}
	x.h.Logger.Error("message is dead", "op", d.Operation(), "seq", d.Seq, "cause", cause)
	if err := d.msg.TermWithReason("moved to " + DeadPrefix + x.consumer + "." + d.Subject); err != nil {
		x.h.Logger.Warn("buried message not taken off, it will be buried again", "seq", d.Seq, "error", err)
	}
	return "dead"
}

func (x *deadLetters) store(ctx context.Context, m *nats.Msg) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ack, err := x.bus.JetStream.PublishMsg(ctx, m)
	if err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	if !ack.Duplicate {
		x.total.Inc()
	}
	return nil
}
