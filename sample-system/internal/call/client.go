// Package call is how one service calls another over HTTP: one client per edge,
// which picks an instance, passes operation, deadline and trace on, and says what
// kind of failure it was.
//
// The mechanisms: pool.go (bounded connections), dial.go (no herd on a callee
// that comes back), stale.go (a kept connection that dies). Whether to repeat a
// call, and how long it may take, is its caller's policy.
package call

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
)

// Targets chooses the instance for each call; *registry.Resolver does.
type Targets interface {
	Pick(match func(registry.Instance) bool) (registry.Target, error)
}

// Static is a callee at a fixed address, a URL.
func Static(base string) Targets { return static(base) }

type static string

func (s static) Pick(func(registry.Instance) bool) (registry.Target, error) {
	return registry.Target{Base: string(s), Done: func(error) {}}, nil
}

// Client calls the service at the far end of one edge.
type Client struct {
	Edge string // "orders -> payments"

	callee    string
	targets   Targets
	match     func(registry.Instance) bool
	http      *http.Client
	pool      *pool
	stale     *stale
	host      *service.Host
	scheme    string // "https://" if callers and callees prove who they are
	broken    error  // of its identity: no call can be made
	durations *prometheus.HistogramVec
}

// New makes the client of h for the service callee, whose instances are to.
func New(h *service.Host, callee string, to Targets) *Client {
	edge := h.Service + " -> " + callee
	id, err := identity.Of(h)
	transport := &http.Transport{
		MaxIdleConnsPerHost: poolSize, // whoever got a connection can keep it
		MaxConnsPerHost:     poolSize,
		IdleConnTimeout:     30 * time.Second, // shorter than the server's 60 s: it is we who close
		DisableCompression:  true,
		TLSHandshakeTimeout: dialTimeout,
		TLSClientConfig:     id.ClientTLS(callee),
	}
	newDialer(h, edge).attach(transport)
	h.OnClose(func() error { transport.CloseIdleConnections(); return nil })
	scheme := "http://"
	if id.On() {
		scheme = "https://"
	}
	return &Client{
		Edge: edge, callee: callee, targets: to, host: h, scheme: scheme, broken: err,
		http:  &http.Client{Transport: transport, CheckRedirect: noRedirect},
		pool:  newPool(h, edge),
		stale: newStale(h, edge),
		durations: h.Histogram("http_client_request_duration_seconds",
			"Time of one call, by edge, instance, and status or kind of failure.", "edge", "to", "code"),
	}
}

// noRedirect: services answer themselves, and a redirect would be a call that no
// metric and no policy has seen.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// To is the same edge, restricted to the instances that match, such as those of
// one version. It shares connections and metrics with c.
func (c *Client) To(match func(registry.Instance) bool) *Client {
	restricted := *c
	restricted.match = match
	return &restricted
}

// Reply is an answer with any status.
type Reply struct {
	Status      int
	ContentType string
	Header      http.Header
	Body        []byte
	Instance    registry.Instance // who answered; zero at a fixed address
}

// Do sends one request and reads the answer. An error means that there was no
// answer (*LostError); a status is not an error. key, if any, becomes
// Idempotency-Key; in, if any, the JSON body. path begins with a slash and may
// carry a query.
func (c *Client) Do(ctx context.Context, method, path, key string, in any) (Reply, error) {
	started := time.Now()
	reply, to, err := c.do(ctx, method, path, key, in)
	c.durations.WithLabelValues(c.Edge, to, code(reply, err)).Observe(time.Since(started).Seconds())
	if err != nil || reply.Status >= http.StatusInternalServerError {
		c.host.Logger.WarnContext(ctx, "call failed", "edge", c.Edge, "to", to, "method", method, "path", path, "code", code(reply, err), "error", err)
	}
	if err != nil {
		return Reply{}, &LostError{Edge: c.Edge, Err: err}
	}
	return reply, nil
}

// do picks an instance, and gives back what it took.
func (c *Client) do(ctx context.Context, method, path, key string, in any) (reply Reply, to string, err error) {
	if c.broken != nil {
		return Reply{}, "", &notSentError{c.broken}
	}
	body, err := encode(in)
	if err != nil {
		return Reply{}, "", &notSentError{err}
	}
	if ctx.Err() != nil { // or the instance would be blamed for it
		return Reply{}, "", &notSentError{context.Cause(ctx)}
	}
	target, err := c.targets.Pick(c.match)
	if err != nil {
		return Reply{}, "", &notSentError{err}
	}
	if to = target.Instance.Name; to == "" {
		to = c.callee
	}
	if err := c.pool.take(ctx); err != nil {
		target.Done(context.Canceled) // it has not been asked
		return Reply{}, to, &notSentError{err}
	}
	reply, err = c.exchange(ctx, request{method: method, url: c.scheme + address(target.Base) + path, path: path, key: key, body: body})
	reply.Instance = target.Instance
	c.pool.give(err != nil || reply.Status >= http.StatusInternalServerError)
	target.Done(blame(ctx, err))
	return reply, to, err
}

// address is a base URL without its scheme, which is a matter of identity.
func address(base string) string {
	if _, after, found := strings.Cut(base, "://"); found {
		return after
	}
	return base
}

// blame is the error as far as the instance is to blame for it: not when the
// caller has called off.
func blame(ctx context.Context, err error) error {
	if err != nil && !IsTimeout(err) && (ctx.Err() != nil || errors.Is(err, context.Canceled)) {
		return context.Canceled
	}
	return err
}

// Post sends a command and wants a 2xx; any other status is a *StatusError.
// out, if any, takes the answer.
func (c *Client) Post(ctx context.Context, path, key string, in, out any) error {
	return c.want2xx(ctx, http.MethodPost, path, key, in, out)
}

// Get reads and wants a 2xx; any other status is a *StatusError.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.want2xx(ctx, http.MethodGet, path, "", nil, out)
}

func (c *Client) want2xx(ctx context.Context, method, path, key string, in, out any) error {
	reply, err := c.Do(ctx, method, path, key, in)
	if err != nil {
		return err
	}
	if reply.Status/100 != 2 {
		return &StatusError{Edge: c.Edge, Status: reply.Status, Detail: detail(reply)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(reply.Body, out); err != nil {
		return &LostError{Edge: c.Edge, Err: fmt.Errorf("decode answer: %w", err)}
	}
	return nil
}

func code(reply Reply, err error) string {
	switch {
	case err == nil:
		return strconv.Itoa(reply.Status)
	case IsTimeout(err):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	default:
		return "error"
	}
}

// detail is what a problem document says.
func detail(reply Reply) string {
	var p service.Problem
	if json.Unmarshal(reply.Body, &p) != nil {
		return ""
	}
	return p.Detail
}
