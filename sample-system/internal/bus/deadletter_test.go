package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

var errPoison = errors.New("cannot be read\nat all")

// poisoned fails for messages of the orders "bad...", and counts deliveries.
func poisoned(got *journal, err error) Handler {
	return func(_ context.Context, m Message) error {
		got.add(id(m))
		if strings.HasPrefix(m.Key(), "bad") {
			return err
		}
		return nil
	}
}

// TestPoison: a message that fails for ever becomes a dead letter, once, with
// all that is known, and holds nobody up. Under D13 it comes for ever.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, defects := range [][]string{nil, {defect.NoDeadLetters}} {
		t.Run(fmt.Sprint(defects), func(t *testing.T) {
			url := bustest.Start(t)
			b := client(t, url)
			var got journal
			i := start(t, url, func(h *service.Host, b *Bus) {
				b.Consume(h, ConsumerOptions{Name: "c"}, poisoned(&got, Permanent(errPoison)))
			}, defects...)
			b.publish(t, "bad.1", "X-Tenant", "north")
			for n := range 20 {
				b.publish(t, fmt.Sprintf("good-%d.1", n))
			}
			eventually(t, func() bool { return got.count("good-19.1") == 1 })
			if len(defects) > 0 {
				eventually(t, func() bool { return got.count("bad.1") > maxDeliveries }, "delivered more often than is allowed")
				letters, err := b.Letters(t.Context(), "")
				require.NoError(t, err)
				assert.Empty(t, letters)
				c, err := b.JetStream.Consumer(t.Context(), OrdersStream, "c")
				require.NoError(t, err)
				assert.Equal(t, -1, c.CachedInfo().Config.MaxDeliver, "no bound on the server either")
				return
			}
			eventually(t, func() bool { return pending(t, b, "c") == 0 })
			assert.Equal(t, maxDeliveries, got.count("bad.1"))
			assert.EqualValues(t, 1, servicetest.Metric(t, i.host, "dlq_messages_total"))
			letters, err := b.Letters(t.Context(), "c")
			require.NoError(t, err)
			require.Len(t, letters, 1)
			l := letters[0]
			assert.WithinDuration(t, time.Now(), l.At, patience)
			assert.Equal(t, "cannot be read at all", l.Cause)
			assert.True(t, l.Permanent)
			assert.Equal(t, "bad", l.Key)
			assert.Equal(t, maxDeliveries, l.Deliveries)
			assert.JSONEq(t, `{"key":"bad"}`, string(l.Data))
			assert.Subset(t, l.row().Attrs, map[string]string{
				"cause": "cannot be read at all", "subject": "orders.confirmed", "consumer": "c", "deliveries": "4", "stream_seq": "1", "replays": "0",
				"header.X-Tenant": "north", "header.X-Request-Id": "bad", "header.Nats-Msg-Id": "bad.1",
			})
			others, err := b.Letters(t.Context(), "d")
			require.NoError(t, err)
			assert.Empty(t, others, "of another consumer")
		})
	}
}

// TestDelaysGrow: redelivery is not a hot loop.
func TestDelaysGrow(t *testing.T) {
	x := newDeadLetters(servicetest.Host(t), &Bus{times: defaultTimes}, "c")
	for attempt, want := range map[uint64]time.Duration{
		1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 3: 800 * time.Millisecond, 5: 2 * time.Second, 1 << 60: 2 * time.Second,
	} {
		assert.Equal(t, want, x.delay(attempt), "attempt %d", attempt)
	}
}

// TestHandlerThatNeverAnswers: a message whose handler dies each time is told
// by its deliveries.
func TestHandlerThatNeverAnswers(t *testing.T) {
	x := newDeadLetters(servicetest.Host(t), &Bus{}, "c")
	d := &delivery{}
	for d.Delivered = 1; d.Delivered <= maxDeliveries; d.Delivered++ {
		require.NoError(t, x.unanswered(d))
	}
	assert.EqualError(t, x.unanswered(d), "delivered 4 times without an answer")
	assert.NoError(t, newDeadLetters(servicetest.Host(t, defect.NoDeadLetters), &Bus{}, "c").unanswered(d))
}

// TestServerGaveUp: a message that the server will not deliver any more becomes
// a dead letter too, though nobody was there to bury it.
func TestServerGaveUp(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	b.publish(t, "o-1.1", "X-Tenant", "north")
	c, err := b.JetStream.CreateConsumer(t.Context(), OrdersStream, jetstream.ConsumerConfig{
		Durable: "c", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Millisecond, MaxDeliver: 1,
	})
	require.NoError(t, err)
	_, err = c.Next() // and die
	require.NoError(t, err)
	eventually(t, func() bool {
		_, _ = c.Fetch(1, jetstream.FetchMaxWait(20*time.Millisecond)) // none comes; has the server look at its clock
		s, err := b.JetStream.Stream(t.Context(), DeadStream)
		return err == nil && s.CachedInfo().State.Msgs == 1
	}, "no advisory")

	start(t, url, func(h *service.Host, b *Bus) { // whose own handler is never called: the server has given up
		b.Consume(h, ConsumerOptions{Name: "c", Subjects: []string{"orders.none"}}, func(context.Context, Message) error { return nil })
	}, defect.AckBeforeWork)
	eventually(t, func() bool {
		letters, err := b.Letters(t.Context(), "c")
		return err == nil && len(letters) == 1 && letters[0].Cause == "the server gave up delivering" && letters[0].Headers["X-Tenant"] == "north"
	})
}

// TestLetterIsStoredBeforeTheMessageGoes: while the dead letters cannot be
// written the message stays, and it is not given back.
func TestLetterIsStoredBeforeTheMessageGoes(t *testing.T) {
	url := bustest.Start(t)
	b := client(t, url)
	require.NoError(t, b.JetStream.DeleteStream(t.Context(), DeadStream))
	var dead *deadLetters
	m := &fakeMsg{}
	start(t, url, func(h *service.Host, b *Bus) { dead = newDeadLetters(h, b, "c") })
	d := &delivery{Message: Message{Subject: "orders.placed", Delivered: maxDeliveries, Seq: 7}, msg: m, stream: OrdersStream}
	done := make(chan string, 1)
	go func() { done <- dead.failed(t.Context(), d, errPoison) }()
	eventually(t, func() bool { return m.kept.Load() > 0 })
	assert.Zero(t, m.terminated.Load())
	require.NoError(t, b.Ensure(t.Context()))
	assert.Equal(t, "dead", <-done)
	assert.EqualValues(t, 1, m.terminated.Load())
}

// fakeMsg counts what is said about a message.
type fakeMsg struct {
	jetstream.Msg
	kept, terminated atomic.Int32
}

func (m *fakeMsg) InProgress() error             { m.kept.Add(1); return nil }
func (m *fakeMsg) TermWithReason(_ string) error { m.terminated.Add(1); return nil }

func TestLetterKeepsWhatWasKnown(t *testing.T) {
	d := &delivery{stream: "ORDERS", Message: Message{
		Subject: "orders.confirmed", Data: []byte("bad"), Seq: 7, Delivered: 4, At: time.Unix(100, 0), Header: nats.Header{
			"X-Request-Id": {"op-1"}, "Nats-Msg-Id": {"id-1"}, "X-Tenant": {"north"}, "Nats-Expected-Stream": {"ORDERS"},
		},
	}}
	m := letter(d, "mails", errPoison)
	assert.Equal(t, "dlq.mails.orders.confirmed", m.Subject)
	assert.Equal(t, []byte("bad"), m.Data)
	assert.Equal(t, nats.Header{
		"X-Request-Id": {"op-1"}, "X-Tenant": {"north"}, "Dlq-Original-Nats-Msg-Id": {"id-1"}, "Dlq-Original-Nats-Expected-Stream": {"ORDERS"},
		"Nats-Msg-Id": {"mails-ORDERS-7"}, "Dlq-Cause": {"cannot be read at all"}, "Dlq-Permanent": {"false"}, "Dlq-Consumer": {"mails"},
		"Dlq-Subject": {"orders.confirmed"}, "Dlq-Stream-Seq": {"7"}, "Dlq-Deliveries": {"4"}, "Dlq-First-Seen": {"1970-01-01T00:01:40Z"}, "Dlq-Replays": {"0"},
	}, m.Header)
}

func TestAuditLetters(t *testing.T) {
	b := client(t, bustest.Start(t))
	_, err := b.JetStream.PublishMsg(t.Context(), letter(&delivery{stream: "ORDERS", Message: Message{Subject: "orders.x", Seq: 7, Delivered: 1}}, "mails", errPoison))
	require.NoError(t, err)
	w := httptest.NewRecorder()
	require.NoError(t, b.AuditLetters("mails")(w, httptest.NewRequest("GET", "/audit/dlq", nil)))
	var rows []audit.Row
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &rows))
	require.Len(t, rows, 1)
	assert.Equal(t, "dead", rows[0].State)
	assert.Equal(t, "cannot be read at all", rows[0].Attrs["cause"])
	w = httptest.NewRecorder()
	require.NoError(t, b.AuditLetters("other")(w, httptest.NewRequest("GET", "/audit/dlq", nil)))
	assert.JSONEq(t, `[]`, w.Body.String())
}

// FuzzLetter: whatever stands in a message, it can be buried, read and keyed.
func FuzzLetter(f *testing.F) {
	f.Add([]byte(`{"key":"o-1"}`), "X-Request-Id", "a\r\nb", "cause\x00")
	f.Add([]byte(`{`), "Nats-Msg-Id", "o-1.2", strings.Repeat("ä", 400))
	f.Add([]byte(nil), "Dlq-Replays", "-1", "")
	f.Fuzz(func(t *testing.T, data []byte, name, value, cause string) {
		d := &delivery{stream: "S", Message: Message{Subject: "orders.x", Data: data, Header: nats.Header{name: {value}}}}
		_, _ = d.Key(), d.Operation()
		m := letter(d, "c", errors.New(cause))
		if strings.ContainsAny(m.Header.Get(headerCause), "\r\n") {
			t.Fatalf("cause %q would end its header line", m.Header.Get(headerCause))
		}
		l := readLetter(&jetstream.RawStreamMsg{Header: m.Header, Data: m.Data})
		if l.Subject != "orders.x" || l.Consumer != "c" {
			t.Fatalf("read as %+v", l)
		}
		_ = l.row()
	})
}
