package notifications

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
)

// fakeMsg records what becomes of a message.
type fakeMsg struct {
	jetstream.Msg
	header     nats.Header
	deliveries uint64
	outcome    string
	delay      time.Duration
}

func (m *fakeMsg) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{
		Stream: "ORDERS", Sequence: jetstream.SequencePair{Stream: 7}, NumDelivered: m.deliveries, Timestamp: time.Unix(100, 0),
	}, nil
}
func (m *fakeMsg) Headers() nats.Header               { return m.header }
func (m *fakeMsg) Data() []byte                       { return []byte("bad") }
func (m *fakeMsg) Subject() string                    { return "orders.confirmed" }
func (m *fakeMsg) NakWithDelay(d time.Duration) error { m.outcome, m.delay = "nak", d; return nil }
func (m *fakeMsg) TermWithReason(_ string) error      { m.outcome = "term"; return nil }

// fakeStream records what is published.
type fakeStream struct {
	jetstream.JetStream
	fail      error
	published []*nats.Msg
}

func (s *fakeStream) PublishMsg(_ context.Context, m *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if s.fail != nil {
		return nil, s.fail
	}
	s.published = append(s.published, m)
	return &jetstream.PubAck{}, nil
}

func TestFailedMessage(t *testing.T) {
	for name, tt := range map[string]struct {
		defects    []string
		deliveries uint64
		fail       error
		result     string
		outcome    string
		letters    int
	}{
		"first delivery comes again":     {nil, 1, nil, "retry", "nak", 0},
		"third delivery comes again":     {nil, 3, nil, "retry", "nak", 0},
		"fourth is the last":             {nil, 4, nil, "dead", "term", 1},
		"a letter not stored stays":      {nil, 4, errors.New("no bus"), "retry", "nak", 0},
		"D13: the hundredth comes again": {[]string{defect.NoDeadLetters}, 100, nil, "retry", "nak", 0},
	} {
		t.Run(name, func(t *testing.T) {
			stream := &fakeStream{fail: tt.fail}
			d := newDeadLetters(servicetest.Host(t, tt.defects...), &bus.Bus{JetStream: stream})
			msg := &fakeMsg{deliveries: tt.deliveries, header: nats.Header{}}
			assert.Equal(t, tt.result, d.failed(t.Context(), msg, errors.New("boom")))
			assert.Equal(t, tt.outcome, msg.outcome)
			assert.Len(t, stream.published, tt.letters)
		})
	}
}

func TestDeadLetterKeepsWhatWasKnown(t *testing.T) {
	msg := &fakeMsg{deliveries: 4, header: nats.Header{
		"X-Request-Id": {"op-1"}, "Nats-Msg-Id": {"id-1"}, "X-Tenant": {"north"}, "Nats-Expected-Stream": {"ORDERS"},
	}}
	meta, err := msg.Metadata()
	require.NoError(t, err)
	letter := deadLetter(msg, meta, errors.New("line one\nline two"))
	assert.Equal(t, "dlq.orders.confirmed", letter.Subject)
	assert.Equal(t, []byte("bad"), letter.Data)
	assert.Equal(t, nats.Header{
		"X-Request-Id": {"op-1"}, "Nats-Msg-Id": {"id-1"}, "X-Tenant": {"north"}, "Dlq-Original-Nats-Expected-Stream": {"ORDERS"},
		"Dlq-Cause": {"line one line two"}, "Dlq-Subject": {"orders.confirmed"}, "Dlq-Stream-Seq": {"7"}, "Dlq-Deliveries": {"4"},
		"Dlq-First-Seen": {"1970-01-01T00:01:40Z"},
	}, letter.Header)

	row := letterRow(&jetstream.RawStreamMsg{Header: letter.Header, Sequence: 3, Time: time.Unix(5, 0)})
	assert.Equal(t, "op-1", row.Key)
	assert.Equal(t, "3", row.ID)
	assert.Equal(t, map[string]string{
		"cause": "line one line two", "subject": "orders.confirmed", "deliveries": "4", "stream_seq": "7", "first_seen": "1970-01-01T00:01:40Z",
		"header.X-Request-Id": "op-1", "header.Nats-Msg-Id": "id-1", "header.X-Tenant": "north", "header.Nats-Expected-Stream": "ORDERS",
	}, row.Attrs)
}

func TestDeadLetterWithoutIDIsStoredOnce(t *testing.T) {
	msg := &fakeMsg{deliveries: 4}
	meta, err := msg.Metadata()
	require.NoError(t, err)
	assert.Equal(t, "ORDERS-7", deadLetter(msg, meta, errors.New("x")).Header.Get("Nats-Msg-Id"))
}

func TestRedeliveryDelayGrows(t *testing.T) {
	for delivered, want := range map[uint64]time.Duration{
		1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 3: 800 * time.Millisecond, 5: 2 * time.Second, 1 << 60: 2 * time.Second,
	} {
		assert.Equal(t, want, redeliveryDelay(delivered), "delivery %d", delivered)
	}
}

func TestMailIsSentOnce(t *testing.T) {
	db, err := store.Open(servicetest.Host(t), "notifications.db", schema)
	require.NoError(t, err)
	t.Cleanup(func() { db.Read.Close(); db.Write.Close() })
	m := &mailbox{db: db}
	for i, want := range []bool{true, false} {
		first, err := m.send(t.Context(), event{Order: "a", Customer: "c"})
		require.NoError(t, err)
		assert.Equal(t, want, first, "delivery %d", i+1)
	}
}

func TestDecodeEvent(t *testing.T) {
	for data, want := range map[string]string{
		`{"version":1,"order":"a","customer":"c","amount_cents":1,"confirmed_at":5}`: "",
		`{"version":2,"order":"a","customer":"c","confirmed_at":5}`:                  "event version 2, want 1",
		`{"version":1,"order":"a b","customer":"c","confirmed_at":5}`:                "event without a usable order id",
		`{"version":1,"order":"a","confirmed_at":5}`:                                 "event without a customer",
		`{"version":1,"order":"a","customer":"c"}`:                                   "event without a time",
		`{"version":1,"colour":"red"}`:                                               `unknown field "colour"`,
		``:                                                                           "EOF",
	} {
		e, err := decodeEvent([]byte(data))
		if want == "" {
			require.NoError(t, err)
			assert.Equal(t, "a", e.Order)
			continue
		}
		assert.ErrorContains(t, err, want, data)
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(`{"version":1,"order":"a","customer":"c","amount_cents":1,"confirmed_at":5}`))
	f.Add([]byte(`{"version":1`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := decodeEvent(data)
		if err == nil && (e.Version != 1 || e.Order == "" || e.Customer == "" || e.At <= 0) {
			t.Fatalf("accepted %q as %+v", data, e)
		}
	})
}
