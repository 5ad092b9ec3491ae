package proxy

import (
	"bytes"
	"strconv"
)

// Fields of a message that tell it from others.
const (
	natsIDField        = "Nats-Msg-Id"
	natsOperationField = "X-Request-Id"
)

// natsMessage is a whole message; raw is all bytes of its operation.
type natsMessage struct {
	natsFrame
	raw []byte
}

func (m *natsMessage) body() []byte { return m.raw[m.line+m.header : m.line+m.payload] }

// field returns the first value of a header field; names are compared with
// their case, as NATS clients do.
func (m *natsMessage) field(name string) string {
	block := m.raw[m.line : m.line+m.header]
	for len(block) > 0 {
		var line []byte
		line, block, _ = bytes.Cut(block, []byte("\r\n"))
		if key, value, found := bytes.Cut(line, []byte(":")); found && string(key) == name {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// id names the message in a receipt: its own id, or where JetStream keeps it.
func (m *natsMessage) id() string {
	if id := m.field(natsIDField); id != "" {
		return id
	}
	for _, subject := range [][]byte{m.reply, m.subject} {
		if a, ok := natsAckOf(subject); ok {
			return string(a.stream) + ":" + string(a.seq)
		}
	}
	return m.field(natsOperationField)
}

// again is the message a second time. What JetStream delivers comes as it would
// deliver it once more, with a delivery count one higher; the rest as it was.
func (m *natsMessage) again() []byte {
	a, ok := natsAckOf(m.reply)
	count, err := strconv.ParseUint(string(a.delivered), 10, 32)
	if !ok || err != nil {
		return bytes.Clone(m.raw)
	}
	at := m.replyAt + a.deliveredAt
	out := append(make([]byte, 0, len(m.raw)+1), m.raw[:at]...)
	out = strconv.AppendUint(out, count+1, 10)
	return append(out, m.raw[at+len(a.delivered):]...)
}

// isPubAck tells whether the message is JetStream's word that it has stored
// what was published; a refusal is an object with an error in front.
func (m *natsMessage) isPubAck() bool { return bytes.HasPrefix(m.body(), []byte(`{"stream":`)) }

// isAck tells whether a consumer says that it is done with a message. That it
// wants it again, gives it up or needs more time is no acknowledgement.
func (m *natsMessage) isAck() bool {
	body := m.body()
	return len(body) == 0 || string(body) == "+ACK"
}

// natsAck is what the subject says that a message is acknowledged to:
// $JS.ACK.STREAM.CONSUMER.DELIVERED.STREAMSEQ.CONSUMERSEQ.TIME.PENDING, or the
// same with domain and account before the stream and more at the end.
type natsAck struct {
	stream, consumer, delivered, seq []byte

	deliveredAt int // where it begins in the subject
}

var natsAckPrefix = []byte("$JS.ACK.")

func natsAckOf(subject []byte) (a natsAck, ok bool) {
	rest, ok := bytes.CutPrefix(subject, natsAckPrefix)
	if !ok {
		return a, false
	}
	if bytes.Count(rest, []byte(".")) > 6 {
		for range 2 {
			_, rest, _ = bytes.Cut(rest, []byte("."))
		}
	}
	for _, token := range []*[]byte{&a.stream, &a.consumer, &a.delivered, &a.seq} {
		if token == &a.delivered {
			a.deliveredAt = len(subject) - len(rest)
		}
		if *token, rest, ok = bytes.Cut(rest, []byte(".")); !ok {
			return natsAck{}, false
		}
	}
	return a, true
}
