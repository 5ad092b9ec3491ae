// Kept connections that die.
//
// Answers: a connection that was kept from an earlier call may be closed by the
// other side, or by anything between, just when the next request is on its way.
// That is commonplace, and looks harmless; but the request may have arrived and
// been executed, and only the answer be lost. So it is an unknown outcome like
// any other lost answer: counted, and left to the retry policy, which repeats
// under the same idempotency key or not at all.
// Numbers: none.
// Costs: an error, or a retry with its pause, where a repeat at once would have
// hidden the matter. net/http itself repeats such calls in two cases, both safe:
// nothing had been written yet, or it is a GET.
// Breaks without it: scenario dead-connection; TestKeptConnectionDies resets idle
// connections.
// Off switch: D33. The client repeats at once, as if the first attempt had failed
// safely, and without the key.

package call

import (
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

type stale struct {
	died    prometheus.Counter
	repeats bool // D33
}

func newStale(h *service.Host, edge string) *stale {
	return &stale{
		died: h.Counter("http_client_stale_connections_total", "Calls whose kept connection died before the answer.", "edge").
			WithLabelValues(edge),
		repeats: h.Defects.Has(defect.StaleConnectionRetry),
	}
}

// guard sends a request, and looks after kept connections.
func (s *stale) guard(r request, send func(request) (_ Reply, reused bool, _ error)) (Reply, error) {
	reply, reused, err := send(r)
	if err == nil || !reused || !dead(err) {
		return reply, err
	}
	s.died.Inc()
	if s.repeats {
		r.key = ""
		reply, _, err = send(r)
	}
	return reply, err
}

// dead reports whether a connection broke, as opposed to a call that was ended
// from this side. net/http has no exported name for most of its errors here.
func dead(err error) bool {
	return !IsTimeout(err) && !errors.Is(err, context.Canceled) && !errors.Is(err, errAnswer) && !NotSent(err)
}
