package bus

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/service"
)

// Message is one delivery.
type Message struct {
	Subject   string
	Header    nats.Header
	Data      []byte
	Seq       uint64    // in the stream, from 1
	Delivered uint64    // how often so far, from 1
	At        time.Time // when the stream stored it
}

// Handler works on one message. When it returns nil its work is durable and
// the message done; an error has it delivered again, a few times, and then
// moved to the dead letters. Permanent says that time will not heal it.
type Handler func(ctx context.Context, m Message) error

// BatchHandler works on several messages at once, all or nothing.
type BatchHandler func(ctx context.Context, batch []Message) error

// Permanent marks an error that will be the same however often the message is
// delivered, such as a malformed event.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

func isPermanent(err error) bool { return errors.As(err, &permanent{}) }

// Operation is the id of the operation that a message belongs to, as far as it says.
func (m Message) Operation() string {
	if id := m.Header.Get(service.RequestIDHeader); service.ValidID(id) {
		return id
	}
	return m.Header.Get(jetstream.MsgIDHeader)
}

// Key is what messages are ordered by: the key of its envelope, or for a body
// that has none its message id up to the last dot, "<key>.<seq>".
func (m Message) Key() string {
	var envelope struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal(m.Data, &envelope); err == nil && envelope.Key != "" {
		return envelope.Key
	}
	id := m.Header.Get(jetstream.MsgIDHeader)
	if i := strings.LastIndexByte(id, '.'); i > 0 {
		return id[:i]
	}
	return id
}

// delivery is a message that has not been settled.
type delivery struct {
	Message
	msg     jetstream.Msg
	stream  string
	repeats uint64 // attempts in place, without a new delivery
}

// attempts is how often the message has been tried, this time included.
func (d *delivery) attempts() uint64 { return d.Delivered + d.repeats }

func newDelivery(msg jetstream.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err // not from a stream
	}
	return &delivery{
		Message: Message{
			Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data(),
			Seq: meta.Sequence.Stream, Delivered: meta.NumDelivered, At: meta.Timestamp,
		},
		msg: msg, stream: meta.Stream,
	}, nil
}

// Replayed reports whether the message was a dead letter in between, and so
// stands behind younger ones of its key.
func (m Message) Replayed() bool { return m.Header.Get(headerReplays) != "" }
