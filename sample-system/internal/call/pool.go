// Bounded pool of connections.
//
// Answers: a callee that answers slowly would otherwise take a connection, a
// goroutine and memory for each call that arrives, here and at its own end, until
// one of them is out.
// Numbers: 128 calls at once per edge: 100/s that all wait a second for a slow
// callee still fit. Who finds none free waits at most 100 ms, for in a pool that
// is full for longer there is no getting through.
// Costs: beyond that calls fail though the callee might have managed.
// Breaks without it: scenario connections-leak, TestPoolIsBounded, TestPoolIsGivenBack.
// Off switch: D25. A call that fails does not give its place back, as if its
// answer's body was never closed: after 128 of them nothing goes any more.

package call

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

const (
	poolSize = 128
	poolWait = 100 * time.Millisecond
)

// ErrExhausted says that all connections of the edge have been in use for longer
// than a call waits for one. Nothing was sent.
var ErrExhausted = errors.New("connection pool exhausted")

type pool struct {
	places chan struct{}
	leaks  bool // D25
}

func newPool(h *service.Host, edge string) *pool {
	return service.Shared(h, "pool "+edge, func() *pool {
		p := &pool{places: make(chan struct{}, poolSize), leaks: h.Defects.Has(defect.PoolLeak)}
		labels := prometheus.Labels{"edge": edge}
		h.GaugeFunc("http_client_connections_in_use", "Connections of an edge that a call holds.", labels, func() float64 {
			return float64(len(p.places))
		})
		h.GaugeFunc("http_client_connections_max", "Connections that an edge may hold at once.", labels, func() float64 { return poolSize })
		return p
	})
}

func (p *pool) take(ctx context.Context) error {
	select {
	case p.places <- struct{}{}:
		return nil
	default:
	}
	patience := time.NewTimer(poolWait)
	defer patience.Stop()
	select {
	case p.places <- struct{}{}:
		return nil
	case <-patience.C:
		return ErrExhausted
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *pool) give(failed bool) {
	if failed && p.leaks {
		return
	}
	<-p.places
}
