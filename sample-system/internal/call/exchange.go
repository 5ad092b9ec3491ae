package call

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"

	"squall/sample-system/internal/deadline"
	"squall/sample-system/internal/service"
)

// maxReply bounds an answer; those of the shop are a few hundred bytes, lists a
// few kB.
const maxReply = 1 << 20

// errAnswer is an answer that came and cannot be used.
var errAnswer = errors.New("unusable answer")

// request is what is sent to one instance.
type request struct {
	method, url, path, key string
	body                   []byte // nil: none
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	return b, nil
}

// exchange sends a request and reads the answer, as one span of the trace.
func (c *Client) exchange(ctx context.Context, r request) (Reply, error) {
	header := http.Header{}
	ctx, end := c.host.Tracer.Client(ctx, c.Edge, r.method, r.path, header)
	reply, err := c.stale.guard(r, func(r request) (Reply, bool, error) { return c.once(ctx, r, header) })
	end(reply.Status, err)
	return reply, err
}

// once sends a request one time; reused says that it went over a connection that
// had been used before.
func (c *Client) once(ctx context.Context, r request, header http.Header) (_ Reply, reused bool, err error) {
	ctx, served := wanting(ctx)
	defer served()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		reused = i.Reused
		served()
	}})
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, r.reader())
	if err != nil {
		return Reply{}, false, &notSentError{err}
	}
	req.Header = header.Clone()
	r.describe(ctx, req.Header)
	resp, err := c.http.Do(req)
	if err != nil {
		return Reply{}, reused, cause(ctx, err)
	}
	defer resp.Body.Close()
	body, err := whole(resp)
	if err != nil {
		return Reply{}, reused, cause(ctx, fmt.Errorf("read answer: %w", err))
	}
	return Reply{Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Header: resp.Header, Body: body}, reused, nil
}

func (r request) reader() io.Reader {
	if r.body == nil {
		return nil
	}
	return bytes.NewReader(r.body)
}

// describe adds what the callee is told beside the body.
func (r request) describe(ctx context.Context, header http.Header) {
	if r.body != nil {
		header.Set("Content-Type", "application/json")
	}
	if op := service.OperationFrom(ctx); op.ID != "" {
		header.Set(service.RequestIDHeader, op.ID)
	}
	if r.key != "" {
		// In this spelling on purpose: net/http repeats a lost POST by itself if
		// it finds "Idempotency-Key". Whether to retry is our policy's decision,
		// and it must show in our metrics. Header names have no case on the wire.
		header["idempotency-key"] = []string{r.key}
	}
	deadline.Inject(ctx, header)
}

// whole reads a body to its end. A body whose end is that of the connection may
// have been cut off anywhere, so it is refused; with a length or in chunks,
// net/http notices.
func whole(resp *http.Response) ([]byte, error) {
	if resp.ContentLength < 0 && len(resp.TransferEncoding) == 0 && resp.ProtoMajor == 1 {
		return nil, fmt.Errorf("%w: no length, so it may have been cut off", errAnswer)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err == nil && len(body) > maxReply {
		err = fmt.Errorf("%w: more than %d bytes", errAnswer, maxReply)
	}
	return body, err
}

// cause is err with the reason for which ctx has ended: a policy's timeout ends
// the context it hands out, and net/http tells of that only that it ended.
func cause(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if reason := context.Cause(ctx); !errors.Is(err, reason) {
		return fmt.Errorf("%w: %w", reason, err)
	}
	return err
}
