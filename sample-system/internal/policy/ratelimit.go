// Rate limit for each client.
//
// Answers: a client that floods. It is told to come back later (429 with
// Retry-After is the caller's to send) while the others notice nothing.
// Numbers: a token bucket: perSecond in the long run, burst at once. At most
// 10,000 clients are kept, some 2 MB; the one not seen for longest is forgotten
// first. Whoever can appear under any number of names must be limited by
// something else, such as shedding.
// Costs: a lock for each request.
// Breaks without it: TestRateLimit. Off switch: none.

package policy

import (
	"container/list"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"squall/sample-system/internal/service"
)

const maxClients = 10_000

// RateLimit limits how often each client may come.
type RateLimit struct {
	perSecond rate.Limit
	burst     int
	refused   prometheus.Counter

	mu      sync.Mutex
	clients map[string]*list.Element // of *bucket
	recent  *list.List               // latest first
}

type bucket struct {
	client string
	*rate.Limiter
}

// NewRateLimit allows each client perSecond requests in the long run and burst
// at once.
func NewRateLimit(h *service.Host, perSecond float64, burst int) *RateLimit {
	l := &RateLimit{
		perSecond: rate.Limit(perSecond), burst: burst,
		refused: h.Counter("rate_limited_total", "Requests refused because their client came too often.").WithLabelValues(),
		clients: map[string]*list.Element{}, recent: list.New(),
	}
	h.GaugeFunc("rate_limit_clients", "Clients that are remembered.", nil, func() float64 {
		l.mu.Lock()
		defer l.mu.Unlock()
		return float64(len(l.clients))
	})
	return l
}

// Allow takes a request of a client into account; if it must wait, it says how
// long, and the request does not count.
func (l *RateLimit) Allow(client string) (ok bool, retryAfter time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	r := l.bucket(client).ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		l.refused.Inc()
		return false, wait
	}
	return true, 0
}

func (l *RateLimit) bucket(client string) *bucket {
	if e, ok := l.clients[client]; ok {
		l.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if len(l.clients) >= maxClients {
		oldest := l.recent.Back()
		delete(l.clients, l.recent.Remove(oldest).(*bucket).client)
	}
	b := &bucket{client, rate.NewLimiter(l.perSecond, l.burst)}
	l.clients[client] = l.recent.PushFront(b)
	return b
}
