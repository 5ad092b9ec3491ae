// Bounded redelivery and dead letters.
//
// Answers: a poison message, which fails however often it is delivered. After
// the last delivery it goes to a stream of its own with everything needed to
// understand and replay it, and is taken off the first only when it is there.
// Numbers: 4 deliveries with 200, 400 and 800 ms between them outlast a blip of
// a second; after that time does not heal a message.
// Costs: someone has to look at the dead letters.
// Breaks without it: scenario poison-notification. Off switch: D13, delivered
// for ever.

package notifications

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

const (
	maxDeliveries   = 4
	redeliverDelay  = 200 * time.Millisecond
	maxRedeliver    = 2 * time.Second
	deadLetterWrite = 2 * time.Second // time to store one dead letter
)

// Headers that a dead letter gets beside those it had.
const (
	headerCause      = "Dlq-Cause"
	headerSubject    = "Dlq-Subject"
	headerSeq        = "Dlq-Stream-Seq"
	headerDeliveries = "Dlq-Deliveries"
	headerFirstSeen  = "Dlq-First-Seen" // RFC 3339
	// Nats- headers steer the server that stores a message, so they are kept
	// under another name.
	headerOriginal = "Dlq-Original-"
)

type deadLetters struct {
	bus   *bus.Bus
	log   *slog.Logger
	total prometheus.Counter
	off   bool // D13
}

func newDeadLetters(h *service.Host, b *bus.Bus) *deadLetters {
	return &deadLetters{
		bus: b, log: h.Logger, off: h.Defects.Has(defect.NoDeadLetters),
		total: h.Counter("dlq_messages_total", "Messages moved to the dead letters.").WithLabelValues(),
	}
}

// failed gives a message back for another delivery, or moves it to the dead
// letters after the last; it returns "retry" or "dead".
func (d *deadLetters) failed(ctx context.Context, msg jetstream.Msg, cause error) string {
	meta, err := msg.Metadata()
	if err != nil {
		d.log.Error("message without metadata", "error", err) // not from a stream: nothing to give back to
		return "retry"
	}
	if d.off || meta.NumDelivered < maxDeliveries {
		d.again(msg, meta)
		return "retry"
	}
	if err := d.bury(ctx, msg, meta, cause); err != nil {
		d.log.Warn("dead letter not stored, will be repeated", "seq", meta.Sequence.Stream, "error", err)
		d.again(msg, meta)
		return "retry"
	}
	return "dead"
}

func (d *deadLetters) again(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
	if err := msg.NakWithDelay(redeliveryDelay(meta.NumDelivered)); err != nil {
		d.log.Warn("message not given back, it comes again after the ack wait", "error", err)
	}
}

// redeliveryDelay doubles with each delivery, counted from 1.
func redeliveryDelay(delivered uint64) time.Duration {
	return min(redeliverDelay<<min(delivered-1, 10), maxRedeliver)
}

func (d *deadLetters) bury(ctx context.Context, msg jetstream.Msg, meta *jetstream.MsgMetadata, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, deadLetterWrite)
	defer cancel()
	letter := deadLetter(msg, meta, cause)
	if _, err := d.bus.JetStream.PublishMsg(ctx, letter); err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	d.total.Inc()
	d.log.Error("message is dead", "op", letterKey(letter.Header), "seq", meta.Sequence.Stream, "cause", cause)
	return msg.TermWithReason("moved to " + letter.Subject)
}

// deadLetter is a copy of a message with what is known about its failure.
func deadLetter(msg jetstream.Msg, meta *jetstream.MsgMetadata, cause error) *nats.Msg {
	letter := nats.NewMsg(bus.DeadPrefix + msg.Subject())
	letter.Data = msg.Data()
	for name, values := range msg.Headers() {
		if strings.HasPrefix(name, "Nats-") && name != jetstream.MsgIDHeader {
			name = headerOriginal + name
		}
		letter.Header[name] = values
	}
	seq := strconv.FormatUint(meta.Sequence.Stream, 10)
	if letter.Header.Get(jetstream.MsgIDHeader) == "" {
		letter.Header.Set(jetstream.MsgIDHeader, meta.Stream+"-"+seq) // a second burial is dropped
	}
	letter.Header.Set(headerCause, headerText(cause.Error()))
	letter.Header.Set(headerSubject, msg.Subject())
	letter.Header.Set(headerSeq, seq)
	letter.Header.Set(headerDeliveries, strconv.FormatUint(meta.NumDelivered, 10))
	letter.Header.Set(headerFirstSeen, meta.Timestamp.UTC().Format(time.RFC3339Nano))
	return letter
}

// headerText makes a cause fit for one header line.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), 500)]
}

// letterKey is the operation a dead letter belongs to, as far as it says.
func letterKey(h nats.Header) string {
	if id := h.Get(service.RequestIDHeader); id != "" {
		return id
	}
	return h.Get(jetstream.MsgIDHeader)
}
