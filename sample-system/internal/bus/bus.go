// Package bus connects a service to NATS JetStream.
package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

// Streams and subjects of the shop.
const (
	OrdersStream     = "ORDERS"
	ConfirmedSubject = "orders.confirmed"
	DeadStream       = "DLQ"
	DeadPrefix       = "dlq." // dead letters keep their subject behind it
)

// Bus is a connection that never gives up.
type Bus struct {
	JetStream jetstream.JetStream

	conn *nats.Conn
	log  func(msg string, args ...any)
}

// Connect starts connecting to NATS_URL, a comma-separated list, and returns at
// once: a service must be able to start while the bus is away.
//
// A dead node is noticed after about 2 s (two pings unanswered) and the next
// one of the list tried after 100 to 200 ms. The client stays with the
// addresses it was given, whatever the cluster gossips: they may be proxies.
func Connect(h *service.Host) (*Bus, error) {
	url := h.Getenv("NATS_URL")
	if url == "" {
		return nil, fmt.Errorf("configure %s: NATS_URL is not set, want host:port[,host:port...]", h.Name)
	}
	conn, err := nats.Connect(url,
		nats.Name(h.Name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.Timeout(time.Second),
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreDiscoveredServers(),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { h.Logger.Warn("bus disconnected", "error", err) }),
		nats.ReconnectHandler(func(c *nats.Conn) { h.Logger.Info("bus connected", "url", c.ConnectedUrlRedacted()) }),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to bus: %w", err)
	}
	h.OnClose(func() error { conn.Close(); return nil })
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(2*time.Second), jetstream.WithPublishAsyncTimeout(2*time.Second))
	if err != nil {
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return &Bus{JetStream: js, conn: conn, log: h.Logger.Warn}, nil
}

// Connected reports whether a node is connected now.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// Ensure creates the shop's streams, and tries until it succeeds or ctx ends.
// Everyone who needs the streams calls it: who comes first does not matter.
func (b *Bus) Ensure(ctx context.Context) error {
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	for failures := 1; ; failures++ {
		err := b.createStreams(ctx, min(time.Duration(failures)*createTimeout, 3*time.Second))
		if err == nil {
			return nil
		}
		if failures%10 == 0 {
			b.log("streams not there yet", "error", err)
		}
		if err := backoff.Wait(ctx, pause.Delay(failures), nil); err != nil {
			return err
		}
	}
}

// createTimeout bounds the first attempt at a stream; later ones wait longer, up
// to 3 s. A cluster that has just elected its leader loses requests without an
// answer, and asking again soon costs nothing.
const createTimeout = 300 * time.Millisecond

func (b *Bus) createStreams(ctx context.Context, timeout time.Duration) error {
	if !b.Connected() {
		return nats.ErrDisconnected
	}
	for name, subjects := range map[string][]string{
		OrdersStream: {"orders.>"},
		DeadStream:   {DeadPrefix + ">"},
	} {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		_, err := b.JetStream.CreateOrUpdateStream(attempt, jetstream.StreamConfig{
			Name: name, Subjects: subjects,
			Replicas:   3, // one node may die and both reading and writing go on
			Storage:    jetstream.FileStorage,
			Duplicates: 2 * time.Minute, // how long a repeated Nats-Msg-Id is recognised
			MaxBytes:   256 << 20,
		})
		cancel()
		if err != nil {
			return fmt.Errorf("create stream %s: %w", name, err)
		}
	}
	return nil
}
