package gateway

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
)

// The stacks in front of the services behind the gateway. Each has its own
// bulkhead, so that a slow one leaves the others' routes alone: room for twice
// what is in flight at 100 requests/s when it answers just in time.
//
// Reads are repeated once, and those of the catalog sent once more when there is
// no answer after 150 ms, ten times the usual: another instance may have one.
// Commands are not repeated: orders repeats each step, and repetitions at two
// layers multiply. A breaker that opened on orders' answers would refuse all
// customers because one dependency of orders is down, so commands have none.
var (
	catalogPolicy = policy.Options{Retry: again(), Breaker: true, Bulkhead: 64, Timeout: 800 * time.Millisecond, Hedge: 150 * time.Millisecond}
	reviewsPolicy = policy.Options{Breaker: true, Bulkhead: 32, Timeout: 250 * time.Millisecond} // a page does not wait for them
	historyPolicy = policy.Options{Retry: again(), Breaker: true, Bulkhead: 64, Timeout: 800 * time.Millisecond}
	profilePolicy = policy.Options{Retry: again(), Breaker: true, Bulkhead: 64, Timeout: 500 * time.Millisecond} // setting a profile twice is as good as once
	lookUpPolicy  = policy.Options{Retry: again(), Bulkhead: 256, Timeout: 1500 * time.Millisecond}
	orderPolicy   = policy.Options{
		Retry:    &policy.Retry{Attempts: 3, Delay: 50 * time.Millisecond, MaxDelay: 500 * time.Millisecond, Outer: true},
		Bulkhead: 256, Timeout: orderTimeout,
	}
)

// orderTimeout is how long a client waits at most. Orders answers within 3 s of
// work on the saga; the rest is for its queue and ours.
const orderTimeout = 5 * time.Second

func again() *policy.Retry {
	return &policy.Retry{Attempts: 2, Delay: 20 * time.Millisecond, MaxDelay: 100 * time.Millisecond}
}

// upstream is one service behind the gateway.
type upstream struct {
	service   string
	client    *call.Client
	guard     *policy.Guard
	split     *split
	instances func() []registry.Instance
	total     *prometheus.CounterVec
}

// newUpstream finds a service by the registry, and by SERVICE_URL when the
// registry does not know it.
func newUpstream(h *service.Host, b *bus.Bus, d *deploys, name string, o policy.Options) (*upstream, error) {
	addresses, err := h.Addresses(strings.ToUpper(name) + "_URL")
	if err != nil {
		return nil, err
	}
	r := registry.NewResolver(h, b, name, addresses)
	client := call.New(h, name, r)
	return &upstream{
		service: name, client: client, guard: policy.New(h, client.Edge, o),
		split: newSplit(h, d, name), instances: r.Instances,
		total: h.Counter("gateway_upstream_total", "Attempts at a service, by the version they were sent to.", "callee", "version", "code"),
	}, nil
}

// with is the same service behind another stack.
func (u *upstream) with(h *service.Host, o policy.Options) *upstream {
	other := *u
	other.guard = policy.New(h, u.client.Edge, o)
	return &other
}

func byName(services ...*upstream) map[string]*upstream {
	m := map[string]*upstream{}
	for _, u := range services {
		m[u.service] = u
	}
	return m
}

// exchange is one request, and the last answer to any of its attempts. Attempts
// of a hedged request run at the same time.
type exchange struct {
	method, path string
	body         any
	attempts     atomic.Int32

	mu    sync.Mutex
	reply call.Reply
	any   bool
	good  bool
}

// keep remembers an answer; a failure does not replace a success.
func (x *exchange) keep(reply call.Reply, good bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.good && !good {
		return
	}
	x.reply, x.any, x.good = reply, true, good
}

// do sends a request and returns the answer, whatever its status. An error
// means that there is none.
func (u *upstream) do(ctx context.Context, method, path, key string, body any) (call.Reply, error) {
	x := &exchange{method: method, path: path, body: body}
	started := time.Now()
	err := u.guard.Run(ctx, key, func(attempt context.Context, key string) error { return u.attempt(attempt, ctx, key, x) })
	if !errors.Is(ctx.Err(), context.Canceled) {
		u.split.observeAll(outcome{failed: err != nil, took: time.Since(started)})
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	var status *call.StatusError
	if x.any && (err == nil || errors.As(err, &status)) {
		return x.reply, nil
	}
	return call.Reply{}, err
}

// attempt makes one attempt. An answer that says that the service failed is an
// error for the policies, and an answer all the same for the client.
func (u *upstream) attempt(ctx, whole context.Context, key string, x *exchange) error {
	to := u.split.choose(int(x.attempts.Add(1)))
	started := time.Now()
	reply, err := u.client.To(to.match).Do(ctx, x.method, x.path, key, x.body)
	if errors.Is(err, registry.ErrNone) && to.canary { // not there any more: the live version is
		to = u.split.choose(2)
		reply, err = u.client.To(to.match).Do(ctx, x.method, x.path, key, x.body)
	}
	if err == nil {
		x.keep(reply, !failed(reply.Status))
		if failed(reply.Status) {
			err = &call.StatusError{Edge: u.client.Edge, Status: reply.Status}
		}
	}
	if !errors.Is(whole.Err(), context.Canceled) { // a client that hung up says nothing about the service
		u.record(to, reply, err, errors.Is(ctx.Err(), context.Canceled), time.Since(started))
	}
	return err
}

// failed reports whether a status says that the service failed, rather than
// that it refused.
func failed(status int) bool {
	return call.Unavailable(&call.StatusError{Status: status})
}

// record counts an attempt; overtaken: another one had an answer before.
func (u *upstream) record(to route, reply call.Reply, err error, overtaken bool, took time.Duration) {
	overtaken = overtaken && reply.Status == 0
	code := strconv.Itoa(reply.Status)
	switch {
	case reply.Status != 0:
	case overtaken:
		code, took = "overtaken", max(took, slowest)
	default:
		code = "lost"
	}
	u.total.WithLabelValues(u.service, cmp.Or(to.version, reply.Instance.Version, "live"), code).Inc()
	if !errors.Is(err, registry.ErrNone) {
		u.split.observe(to.version, outcome{failed: err != nil && !overtaken, took: took})
	}
}

// slowest is what an attempt counts for that was overtaken: all that is known of
// it is that nobody waited for its end.
const slowest = time.Second

// get is do for a read.
func (u *upstream) get(ctx context.Context, path string) (call.Reply, error) {
	return u.do(ctx, http.MethodGet, path, "", nil)
}
