package bus

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/service"
)

// Headers that a dead letter gets beside those it had.
const (
	headerCause      = "Dlq-Cause"
	headerPermanent  = "Dlq-Permanent" // "true": time will not heal the cause
	headerConsumer   = "Dlq-Consumer"  // who gave up; of a replayed message, who it is for
	headerSubject    = "Dlq-Subject"
	headerSeq        = "Dlq-Stream-Seq"
	headerDeliveries = "Dlq-Deliveries"
	headerFirstSeen  = "Dlq-First-Seen" // RFC 3339, of the first time round
	headerReplays    = "Dlq-Replays"    // how often it has been replayed

	// Nats- headers steer the server that stores a message, so they are kept
	// under another name.
	headerOriginal   = "Dlq-Original-"
	headerOriginalID = headerOriginal + jetstream.MsgIDHeader
)

// letter is a copy of a message with what is known about its failure.
func letter(d *delivery, consumer string, cause error) *nats.Msg {
	m := nats.NewMsg(DeadPrefix + consumer + "." + d.Subject)
	m.Data = d.Data
	for name, values := range d.Header {
		if strings.HasPrefix(name, "Nats-") {
			name = headerOriginal + name
		}
		m.Header[name] = values
	}
	if first := d.Header.Get(headerOriginalID); first != "" {
		m.Header.Set(headerOriginalID, first) // of the first time round, not of the replay
	}
	seq := strconv.FormatUint(d.Seq, 10)
	m.Header.Set(jetstream.MsgIDHeader, consumer+"-"+d.stream+"-"+seq) // a second burial is dropped
	m.Header.Set(headerCause, headerText(cause.Error()))
	m.Header.Set(headerPermanent, strconv.FormatBool(isPermanent(cause)))
	m.Header.Set(headerConsumer, consumer)
	m.Header.Set(headerSubject, d.Subject)
	m.Header.Set(headerSeq, seq)
	m.Header.Set(headerDeliveries, strconv.FormatUint(d.attempts(), 10))
	if m.Header.Get(headerFirstSeen) == "" {
		m.Header.Set(headerFirstSeen, d.At.UTC().Format(time.RFC3339Nano))
	}
	if m.Header.Get(headerReplays) == "" {
		m.Header.Set(headerReplays, "0")
	}
	return m
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

// Letter is a message in the dead letters.
type Letter struct {
	Seq        uint64            `json:"seq"` // in the dead letters
	Key        string            `json:"key"` // operation
	Subject    string            `json:"subject"`
	Consumer   string            `json:"consumer"`
	Cause      string            `json:"cause"`
	Permanent  bool              `json:"permanent"` // time will not heal the cause
	Deliveries int               `json:"deliveries"`
	Replays    int               `json:"replays"`
	FirstSeen  string            `json:"first_seen"` // RFC 3339
	StreamSeq  string            `json:"stream_seq"`
	At         time.Time         `json:"at"`
	Headers    map[string]string `json:"headers,omitempty"` // that the message had
	Data       []byte            `json:"data"`
}

// readLetter is the inverse of letter; what a header does not say is zero.
func readLetter(m *jetstream.RawStreamMsg) Letter {
	h := m.Header
	l := Letter{
		Seq: m.Sequence, Key: letterKey(h), Subject: h.Get(headerSubject), Consumer: h.Get(headerConsumer), Cause: h.Get(headerCause),
		Permanent: h.Get(headerPermanent) == "true", FirstSeen: h.Get(headerFirstSeen), StreamSeq: h.Get(headerSeq), At: m.Time,
		Headers: map[string]string{}, Data: m.Data,
	}
	l.Deliveries, _ = strconv.Atoi(h.Get(headerDeliveries))
	l.Replays, _ = strconv.Atoi(h.Get(headerReplays))
	for name := range h {
		if !strings.HasPrefix(name, "Dlq-") && !strings.HasPrefix(name, "Nats-") || strings.HasPrefix(name, headerOriginal) {
			l.Headers[strings.TrimPrefix(name, headerOriginal)] = h.Get(name)
		}
	}
	return l
}

// letterKey is the operation a dead letter belongs to, as far as it says.
func letterKey(h nats.Header) string {
	if id := h.Get(service.RequestIDHeader); id != "" {
		return id
	}
	if id := h.Get(headerOriginalID); id != "" {
		return id
	}
	return h.Get(jetstream.MsgIDHeader)
}
