// Expiry of messages.
//
// Answers: a consumer that was down for a while and then does work that has lost
// its meaning: a mail that says "on its way" an hour late. What is older than
// its time to live is dropped, and that is noted where people look: a counter
// and the service's own book. The server could expire messages itself
// (Nats-TTL), but then nobody would know.
// Numbers: the age counts from when the stream stored the message, so a replayed
// one is fresh; a producer may set an earlier end by the header Shop-Expires-At.
// Costs: clocks of consumer and server must agree to well below the TTL.
// Breaks without it: scenario consumer-down, TestExpiry. Off switch: D36, expired
// work is done all the same.

package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// ExpiresHeader is when a message expires, RFC 3339, if its producer says so.
const ExpiresHeader = "Shop-Expires-At"

type expiry struct {
	ttl   time.Duration
	note  func(ctx context.Context, m Message) error
	total prometheus.Counter
	off   bool // D36
}

func newExpiry(h *service.Host, o ConsumerOptions) *expiry {
	return &expiry{
		ttl: o.TTL, note: o.Expired, off: h.Defects.Has(defect.ActOnExpired),
		total: h.Counter("bus_expired_total", "Messages dropped because they came too late.", "consumer").WithLabelValues(o.Name),
	}
}

func (e *expiry) expired(m Message) bool {
	if e.off {
		return false
	}
	if at, err := time.Parse(time.RFC3339Nano, m.Header.Get(ExpiresHeader)); err == nil && time.Now().After(at) {
		return true
	}
	return e.ttl > 0 && time.Since(m.At) > e.ttl
}

// drop notes an expired message; only then may it be acknowledged.
func (e *expiry) drop(ctx context.Context, m Message) error {
	if e.note != nil {
		if err := e.note(ctx, m); err != nil {
			return fmt.Errorf("note expired message: %w", err)
		}
	}
	e.total.Inc()
	return nil
}
