// Package bus connects a service to NATS JetStream.
package bus

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

// Bus is a connection that never gives up.
type Bus struct {
	JetStream jetstream.JetStream

	conn    *nats.Conn
	log     func(msg string, args ...any)
	defects defect.Set
	tracer  *tracing.Tracer
	times   times
}

// Connect starts connecting to NATS_URL, a comma-separated list, and returns at
// once: a service must be able to start while the bus is away.
// SHOP_REDRIVE_AFTER is when a dead letter is replayed by itself (default 10s).
func Connect(h *service.Host) (*Bus, error) {
	url := h.Getenv("NATS_URL")
	if url == "" {
		return nil, fmt.Errorf("configure %s: NATS_URL is not set, want host:port[,host:port...]", h.Name)
	}
	redriveAfter, err := duration(h.Getenv("SHOP_REDRIVE_AFTER"), defaultTimes.redriveAfter)
	if err != nil {
		return nil, fmt.Errorf("configure %s: SHOP_REDRIVE_AFTER: %w", h.Name, err)
	}
	b, err := Dial(url, h.Name, h.Defects,
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { h.Logger.Warn("bus disconnected", "error", err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { h.Logger.Warn("bus error", "error", err) }),
		nats.ReconnectHandler(func(c *nats.Conn) { h.Logger.Info("bus connected", "url", c.ConnectedUrlRedacted()) }),
	)
	if err != nil {
		return nil, err
	}
	b.log, b.tracer, b.times.redriveAfter = h.Logger.Warn, h.Tracer, redriveAfter
	h.OnClose(func() error { b.Close(); return nil })
	return b, nil
}

func duration(s string, absent time.Duration) (time.Duration, error) {
	if s == "" {
		return absent, nil
	}
	return time.ParseDuration(s)
}

// Dial is Connect for what is not a service, such as a command. The caller
// must Close the bus.
//
// A dead node is noticed after about 2 s (two pings unanswered) and the next
// one of the list tried after 100 to 200 ms. The client stays with the
// addresses it was given, whatever the cluster gossips: they may be proxies.
func Dial(url, name string, defects defect.Set, more ...nats.Option) (*Bus, error) {
	conn, err := nats.Connect(url, append(more,
		nats.Name(name),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 100*time.Millisecond),
		nats.Timeout(time.Second),
		nats.PingInterval(time.Second),
		nats.MaxPingsOutstanding(2),
		nats.IgnoreDiscoveredServers(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("connect to bus: %w", err)
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(2*time.Second), jetstream.WithPublishAsyncTimeout(2*time.Second))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return &Bus{JetStream: js, conn: conn, log: func(string, ...any) {}, defects: defects, times: defaultTimes}, nil
}

// Conn is the connection under JetStream.
func (b *Bus) Conn() *nats.Conn { return b.conn }

// Connected reports whether a node is connected now.
func (b *Bus) Connected() bool { return b.conn.IsConnected() }

// Close ends the connection.
func (b *Bus) Close() { b.conn.Close() }
