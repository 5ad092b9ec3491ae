package proxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// natsServer runs a real broker.
func natsServer(t testing.TB, o server.Options) *server.Server {
	t.Helper()
	o.Host, o.Port, o.JetStream, o.StoreDir, o.NoSigs, o.NoLog = "127.0.0.1", -1, true, t.TempDir(), true, true
	s, err := server.NewServer(&o)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	return s
}

// natsRig is a broker behind a proxied edge, with a stream ORDERS and a client
// on the edge.
type natsRig struct {
	*rig
	conn *nats.Conn
	js   jetstream.JetStream
}

func newNATSRig(t *testing.T, o server.Options, more ...nats.Option) *natsRig {
	t.Helper()
	s := natsServer(t, o)
	r := &natsRig{rig: newRig(t, ProtocolNATS, s.Addr().String(), Options{})}
	var err error
	r.conn, err = nats.Connect("nats://"+r.addr, more...)
	require.NoError(t, err)
	t.Cleanup(r.conn.Close)
	r.js, err = jetstream.New(r.conn)
	require.NoError(t, err)
	_, err = r.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
	require.NoError(t, err)
	return r
}

func (r *natsRig) publish(subject, id string) error {
	m := nats.NewMsg(subject)
	m.Data = []byte("data of " + id)
	if id != "" {
		m.Header.Set(nats.MsgIdHdr, id)
	}
	_, err := r.js.PublishMsg(r.ctx, m)
	return err
}

func (r *natsRig) stored() uint64 {
	s, err := r.js.Stream(r.ctx, "ORDERS")
	require.NoError(r.t, err)
	return s.CachedInfo().State.Msgs
}

// consume gives what a durable consumer is given, in order; nothing is
// acknowledged unless by the test.
func (r *natsRig) consume(name string, ackWait time.Duration) <-chan jetstream.Msg {
	c, err := r.js.CreateConsumer(r.ctx, "ORDERS", jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait})
	require.NoError(r.t, err)
	out := make(chan jetstream.Msg, 1000)
	use, err := c.Consume(func(m jetstream.Msg) { out <- m })
	require.NoError(r.t, err)
	r.t.Cleanup(use.Stop)
	return out
}

func next(t *testing.T, c <-chan jetstream.Msg) (id string, deliveries uint64, m jetstream.Msg) {
	t.Helper()
	select {
	case m := <-c:
		meta, err := m.Metadata()
		require.NoError(t, err)
		return m.Headers().Get(nats.MsgIdHdr), meta.NumDelivered, m
	case <-time.After(10 * time.Second):
		require.Fail(t, "no message came")
		return "", 0, nil
	}
}

func bus(of faults.BusFlow, action faults.BusAction, subject string) faults.Stage {
	return faults.Stage{Bus: &faults.BusRule{Of: of, Action: action, Subject: subject}}
}

func TestNATSDuplicateDelivery(t *testing.T) {
	r := newNATSRig(t, server.Options{})
	got := r.consume("mail", time.Minute)
	line := r.wire()
	r.put("twice", bus(faults.BusDelivery, faults.BusDuplicate, "orders.*"))
	require.NoError(t, r.publish("orders.new", "o-1"))
	require.NoError(t, r.publish("orders.new", ""))
	var seqs []uint64
	for range 2 {
		for n := range 2 {
			_, deliveries, m := next(t, got)
			assert.Equal(t, uint64(n+1), deliveries, "as a redelivery")
			meta, err := m.Metadata()
			require.NoError(t, err)
			seqs = append(seqs, meta.Sequence.Stream)
			require.NoError(t, m.DoubleAck(r.ctx), "either may be acknowledged")
		}
	}
	assert.Equal(t, []uint64{1, 1, 2, 2}, seqs)
	st := r.status("twice")
	assert.Equal(t, uint64(2), st.Receipt.Hits)
	assert.Equal(t, "messages", st.Receipt.Unit)
	assert.Equal(t, []string{"o-1", "ORDERS:2"}, st.Receipt.Items)
	e := line()
	assert.Equal(t, "HMSG orders.new o-1 twice", fmt.Sprint(e.Method, " ", e.Path, " ", e.Key, " ", e.Fault))
	assert.Equal(t, []Act{{"twice", 1, "duplicate"}}, e.Acts)

	r.remove("twice")
	require.NoError(t, r.publish("orders.new", "o-3"))
	require.NoError(t, r.publish("orders.new", "o-4"))
	for _, want := range []string{"o-3", "o-4"} {
		id, _, _ := next(t, got)
		assert.Equal(t, want, id)
	}
}

func TestNATSDuplicatePublish(t *testing.T) {
	r := newNATSRig(t, server.Options{})
	r.put("twice", bus(faults.BusPublish, faults.BusDuplicate, "orders.new"))
	require.NoError(t, r.publish("orders.new", "o-1"))
	assert.Equal(t, uint64(1), r.stored(), "the stream knows the id")
	require.NoError(t, r.publish("orders.new", ""))
	eventually(t, func() bool { return r.stored() == 3 }, "without an id both are stored")
	require.NoError(t, r.publish("orders.old", ""))
	assert.Equal(t, uint64(4), r.stored(), "another subject")
	assert.Equal(t, uint64(2), r.status("twice").Receipt.Hits)
}

func TestNATSDelay(t *testing.T) {
	const delay = 300 * time.Millisecond
	r := newNATSRig(t, server.Options{})
	got := r.consume("mail", time.Minute)
	s := bus(faults.BusDelivery, faults.BusDelay, "orders.slow")
	s.Bus.Delay, s.Match.Every = delay, 2
	r.put("late", s)
	started := time.Now()
	for i := range 6 {
		require.NoError(t, r.publish("orders.slow", fmt.Sprint("s-", i)), "acknowledgements are not late")
	}
	require.NoError(t, r.publish("orders.fast", "fast"))
	_, err := r.conn.RTT()
	require.NoError(t, err)
	undelayed := time.Since(started)
	var ids []string
	var came []time.Duration
	for range 7 {
		id, _, _ := next(t, got)
		ids, came = append(ids, id), append(came, time.Since(started))
	}
	assert.Equal(t, []string{"s-0", "fast", "s-1", "s-2", "s-3", "s-4", "s-5"}, ids, "one subject stays in order, another goes ahead")
	assert.GreaterOrEqual(t, came[2], delay)
	assert.Less(t, came[6]-came[2], delay+undelayed, "they wait side by side")
	st := r.status("late")
	assert.Equal(t, uint64(3), st.Receipt.Hits)
	assert.Equal(t, []string{"s-1", "s-3", "s-5"}, st.Receipt.Items)
}

func TestNATSDelayedGoOnAtOnceWhenTheStageGoes(t *testing.T) {
	r := newNATSRig(t, server.Options{})
	got := r.consume("mail", time.Minute)
	s := bus(faults.BusDelivery, faults.BusDelay, "orders.>")
	s.Bus.Delay = time.Hour
	r.put("late", s)
	for i := range 50 {
		require.NoError(t, r.publish("orders.new", fmt.Sprint("o-", i)))
	}
	eventually(t, func() bool { return r.status("late").Receipt.Hits == 50 }, "all held")
	assert.Empty(t, got)
	r.remove("late")
	require.NoError(t, r.publish("orders.new", "o-50"))
	for i := range 51 {
		id, _, _ := next(t, got)
		assert.Equal(t, fmt.Sprint("o-", i), id, "in order")
	}
}

func TestNATSDropAckOfConsumer(t *testing.T) {
	r := newNATSRig(t, server.Options{})
	got, other := r.consume("mail", 200*time.Millisecond), r.consume("other", time.Minute)
	s := bus(faults.BusAck, faults.BusDrop, "")
	s.Bus.Stream, s.Bus.Consumer, s.Match.First = "ORDERS", "mail", 1
	r.put("deaf", s)
	require.NoError(t, r.publish("orders.new", "o-1"))
	_, _, m := next(t, other)
	require.NoError(t, m.DoubleAck(r.ctx), "of another consumer")
	_, deliveries, m := next(t, got)
	assert.Equal(t, uint64(1), deliveries)
	require.NoError(t, m.Nak(), "no acknowledgement: it passes, and is not counted")
	_, deliveries, m = next(t, got)
	assert.Equal(t, uint64(2), deliveries)
	require.NoError(t, m.Ack())
	_, deliveries, m = next(t, got)
	assert.Equal(t, uint64(3), deliveries, "the broker was not told")
	require.NoError(t, m.DoubleAck(r.ctx), "one was lost, not two")
	st := r.status("deaf")
	assert.Equal(t, uint64(1), st.Receipt.Hits)
	assert.Equal(t, []string{"ORDERS:1"}, st.Receipt.Items)
}

func TestNATSDropAckOfPublisher(t *testing.T) {
	r := newNATSRig(t, server.Options{})
	s := bus(faults.BusPublishAck, faults.BusDrop, "orders.new")
	s.Match.Key = "o-*"
	r.put("deaf", s)
	js, err := jetstream.New(r.conn, jetstream.WithDefaultTimeout(200*time.Millisecond))
	require.NoError(t, err)
	publish := func(subject, id string) error {
		_, err := js.Publish(t.Context(), subject, []byte("x"), jetstream.WithMsgID(id))
		return err
	}
	require.ErrorIs(t, publish("orders.new", "o-1"), context.DeadlineExceeded)
	assert.Equal(t, uint64(1), r.stored(), "it was stored all the same")
	require.NoError(t, publish("orders.new", "p-1"), "another key")
	require.NoError(t, publish("orders.old", "o-2"), "another subject")
	_, err = js.Publish(t.Context(), "orders.new", []byte("x"), jetstream.WithMsgID("o-3"), jetstream.WithExpectLastSequence(99))
	require.ErrorContains(t, err, "wrong last sequence", "a refusal passes")
	st := r.status("deaf")
	assert.Equal(t, uint64(1), st.Receipt.Hits)
	assert.Equal(t, []string{"o-1"}, st.Receipt.Items)
}

// TestNATSDecisions: the same messages and seed, the same decisions.
func TestNATSDecisions(t *testing.T) {
	run := func() (acts []Act) {
		r := newNATSRig(t, server.Options{})
		line := r.wire()
		s := bus(faults.BusPublish, faults.BusDuplicate, "orders.>")
		s.Seed, s.Match.Probability, s.Match.Header, s.Cap = 7, 0.4, map[string]string{nats.MsgIdHdr: "a-*"}, 12
		r.put("some", s)
		for i := range 60 {
			require.NoError(t, r.publish("orders.new", fmt.Sprint("a-", i)))
			require.NoError(t, r.publish("orders.new", fmt.Sprint("b-", i)))
		}
		require.Equal(t, uint64(12), r.status("some").Receipt.Hits)
		for range 12 {
			e := line()
			assert.True(t, strings.HasPrefix(e.Key, "a-"), e.Key)
			acts = append(acts, e.Acts...)
		}
		return acts
	}
	first := run()
	assert.Len(t, first, 12)
	assert.Equal(t, first, run())
}

// TestNATSBlind: what cannot be followed passes, and a stage says so.
func TestNATSBlind(t *testing.T) {
	secure := httptest.NewTLSServer(nil) // has a certificate
	defer secure.Close()
	r := newNATSRig(t, server.Options{TLSConfig: &tls.Config{Certificates: secure.TLS.Certificates}, TLSTimeout: 5, TLS: true},
		nats.Secure(&tls.Config{InsecureSkipVerify: true}))
	r.put("twice", bus(faults.BusPublish, faults.BusDuplicate, "orders.>"))
	require.NoError(t, r.publish("orders.new", ""))
	assert.Equal(t, uint64(1), r.stored())
	st := r.status("twice")
	assert.Zero(t, st.Receipt.Hits)
	assert.Equal(t, "1 live connections cannot be followed and pass as they are", st.Receipt.Note)
}

// TestNATSBigMessages: a rule acts on what it may hold, and says what was too big.
func TestNATSBigMessages(t *testing.T) {
	r := newNATSRig(t, server.Options{MaxPayload: 16 << 20, MaxPending: 64 << 20})
	sub, err := r.conn.SubscribeSync("big")
	require.NoError(t, err)
	r.put("twice", bus(faults.BusPublish, faults.BusDuplicate, "big"))
	for _, size := range []int{1 << 20, maxNATSMessage + 1, 7 << 20, 10} {
		sent := []byte(strings.Repeat("x", size))
		require.NoError(t, r.conn.Publish("big", sent))
		for range map[bool]int{true: 1, false: 2}[size > maxNATSMessage] {
			m, err := sub.NextMsg(10 * time.Second)
			require.NoError(t, err)
			assert.Len(t, m.Data, size)
		}
	}
	st := r.status("twice")
	assert.Equal(t, uint64(3), st.Receipt.Hits)
	assert.Equal(t, "1 messages above 8 MB passed as they were", st.Receipt.Note)
}

// TestNATSLiveSwitch: stages come and go while messages flow; none is lost, none
// overtakes another, and no connection is new.
func TestNATSLiveSwitch(t *testing.T) {
	r := newNATSRig(t, server.Options{})
	const n = 20000
	sub, err := r.conn.SubscribeSync("live")
	require.NoError(t, err)
	require.NoError(t, sub.SetPendingLimits(-1, -1))
	published := make(chan error, 1)
	go func() {
		for i := range n {
			if err := r.conn.Publish("live", fmt.Appendf(nil, "%d", i)); err != nil {
				published <- err
				return
			}
		}
		published <- r.conn.Flush()
	}()
	s := bus(faults.BusDelivery, faults.BusDelay, "live")
	for i := range n {
		if i%100 == 0 {
			if i%200 == 0 {
				s.Bus.Delay, s.Match.Every = time.Duration(1+i%5)*time.Millisecond, uint64(1+i%3)
				r.put("late", s)
			} else {
				r.remove("late")
			}
		}
		m, err := sub.NextMsg(10 * time.Second)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(i), string(m.Data))
	}
	require.NoError(t, <-published)
	assert.Zero(t, r.conn.Stats().Reconnects)
}

// TestNATSIdleLaneAllocatesNothing: an edge without a fault costs no garbage.
func TestNATSIdleLaneAllocatesNothing(t *testing.T) {
	p := []byte(strings.Repeat("PUB orders.new _INBOX.x.y 11\r\nhello world\r\nPING\r\n", 50))
	n := &natsConn{conn: &conn{link: &link{}, done: make(chan struct{})}}
	other, err := newStage("f", bus(faults.BusPublish, faults.BusDrop, "other.*.x"), ProtocolNATS)
	require.NoError(t, err)
	for _, stages := range [][]*stage{nil, {other}} {
		n.link.setting.Store(&setting{bus: stages})
		l := newNATSLane(n, nil, discard{}, false)
		l.resize(len(p))
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			l.at, l.end = 0, copy(l.buf, p)
			require.NoError(t, l.pass())
		}))
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
