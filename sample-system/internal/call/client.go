// Package call is how one service calls another over HTTP: one pooled client
// per edge, which passes the operation on and says what kind of failure it was.
package call

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/service"
)

// maxReply bounds an answer; those of the shop are a few hundred bytes.
const maxReply = 64 << 10

// Client calls the service at the far end of one edge.
type Client struct {
	Edge string // "orders -> payments"

	base      string
	http      *http.Client
	durations prometheus.ObserverVec
}

// New makes the client of an edge of h to the service at base. It has no
// timeout of its own: how long a call may take is its caller's policy.
func New(h *service.Host, callee, base string) *Client {
	transport := &http.Transport{
		MaxIdleConnsPerHost: 64, // as many as calls are usually in flight, so that none has to dial
		MaxConnsPerHost:     512,
		IdleConnTimeout:     30 * time.Second, // shorter than the server's 60 s: it is we who close
		DisableCompression:  true,
	}
	h.OnClose(func() error { transport.CloseIdleConnections(); return nil })
	edge := h.Name + " -> " + callee
	return &Client{
		Edge: edge, base: base,
		http: &http.Client{Transport: transport},
		durations: h.Histogram("http_client_request_duration_seconds", "Time of one call, by edge and status or kind of failure.", "edge", "code").
			MustCurryWith(prometheus.Labels{"edge": edge}),
	}
}

// Reply is an answer with any status.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
}

// Do sends one request and reads the answer. An error means that there was no
// answer; a status is not an error. key, if any, becomes Idempotency-Key; in,
// if any, the JSON body.
func (c *Client) Do(ctx context.Context, method, path, key string, in any) (Reply, error) {
	started := time.Now()
	reply, err := c.roundTrip(ctx, method, path, key, in)
	c.durations.WithLabelValues(code(reply, err)).Observe(time.Since(started).Seconds())
	if err != nil {
		return Reply{}, &LostError{Edge: c.Edge, Err: err}
	}
	return reply, nil
}

// Post sends a command and wants a 2xx; any other status is a *StatusError.
// out, if any, takes the answer.
func (c *Client) Post(ctx context.Context, path, key string, in, out any) error {
	reply, err := c.Do(ctx, http.MethodPost, path, key, in)
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

func (c *Client) roundTrip(ctx context.Context, method, path, key string, in any) (Reply, error) {
	req, err := c.request(ctx, method, path, key, in)
	if err != nil {
		return Reply{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return Reply{}, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > maxReply {
		return Reply{}, fmt.Errorf("read answer: more than %d bytes", maxReply)
	}
	return Reply{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body}, nil
}

func (c *Client) request(ctx context.Context, method, path, key string, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode body: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	op := service.OperationFrom(ctx)
	if op.ID != "" {
		req.Header.Set(service.RequestIDHeader, op.ID)
		req.Header.Set(service.TraceHeader, op.Next())
	}
	if key != "" {
		// In this spelling on purpose: net/http repeats a lost POST by itself if
		// it finds "Idempotency-Key". Whether to retry is our policy's decision,
		// and it must show in our metrics. Header names have no case on the wire.
		req.Header["idempotency-key"] = []string{key}
	}
	return req, nil
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

func detail(reply Reply) string {
	var p service.Problem
	if json.Unmarshal(reply.Body, &p) != nil {
		return ""
	}
	return p.Detail
}
