// Request and reply over the bus.
//
// Answers: a question to whichever instance of a service is there, without an
// address for it. Instances share the requests. Where nobody serves a subject the
// server says so at once, and nothing hangs: the caller has an error that means
// "nothing was done".
// Numbers: 1 s to answer where the caller sets no deadline of its own; 4 requests
// at work per instance and 64 waiting, for an answer takes well below 1 ms.
// Costs: no retry, no breaker: for what the caller can do without.
// Breaks without it: TestRequest, TestServeEnds. No off switch.

package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"squall/sample-system/internal/deadline"
	"squall/sample-system/internal/service"
)

const (
	replyTime    = time.Second
	replyWorkers = 4
	replyQueue   = 64
)

// Headers of a refusal, as NATS micro services have them.
const (
	headerErrorCode = "Nats-Service-Error-Code"
	headerError     = "Nats-Service-Error"
)

// ErrNoResponders says that nobody serves the subject, and nothing was done.
var ErrNoResponders = nats.ErrNoResponders

// ReplyError is an answer that is a refusal; Code is a status of HTTP.
type ReplyError struct {
	Code int
	Text string
}

func (e *ReplyError) Error() string { return fmt.Sprintf("refused: %d %s", e.Code, e.Text) }

// Request asks whoever serves a subject and decodes the JSON answer into out.
// Errors: ErrNoResponders when nobody serves it or the bus is away (nothing was
// done), context.DeadlineExceeded when no answer came in time (it may have
// been), a *ReplyError when the answer is a refusal.
func (b *Bus) Request(ctx context.Context, subject string, in, out any) error {
	if !b.Connected() {
		return fmt.Errorf("request %s: bus disconnected: %w", subject, ErrNoResponders)
	}
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	m := nats.NewMsg(subject)
	var err error
	if m.Data, err = json.Marshal(in); err != nil {
		return fmt.Errorf("request %s: %w", subject, err)
	}
	deadline.Inject(ctx, http.Header(m.Header))
	if op := service.OperationFrom(ctx).ID; op != "" {
		m.Header.Set(service.RequestIDHeader, op)
	}
	ctx, end := b.tracer.Produce(ctx, subject, m.Header)
	reply, err := b.conn.RequestMsgWithContext(ctx, m)
	if err == nil {
		err = readReply(reply, out)
	}
	end(err)
	if err != nil {
		return fmt.Errorf("request %s: %w", subject, err)
	}
	return nil
}

func readReply(m *nats.Msg, out any) error {
	if code := m.Header.Get(headerErrorCode); code != "" {
		n, _ := strconv.Atoi(code)
		return &ReplyError{n, m.Header.Get(headerError)}
	}
	if err := json.Unmarshal(m.Data, out); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// Answer answers one request. What it returns is sent as JSON; a
// service.Problem is sent as a refusal, any other error as one that says nothing.
type Answer func(ctx context.Context, in []byte) (out any, err error)

// Serve answers the requests on a subject until the service ends. Instances of
// one service share them.
func (b *Bus) Serve(h *service.Host, subject string, answer Answer) {
	h.Go("serve "+subject, func(ctx context.Context) error {
		requests := make(chan *nats.Msg, replyQueue) // what does not fit is dropped, and its caller's wait ends
		sub, err := b.conn.ChanQueueSubscribe(subject, h.Service, requests)
		if err != nil {
			return fmt.Errorf("serve %s: %w", subject, err)
		}
		work, cancel := finishing(ctx)
		defer cancel()
		var wg sync.WaitGroup
		for range replyWorkers {
			wg.Go(func() {
				for m := range requests {
					b.reply(work, h, m, answer)
				}
			})
		}
		<-ctx.Done()
		leave(sub)
		close(requests)
		wg.Wait()
		return nil
	})
}

// leave ends a subscription when the server has sent all it had for it, or a
// moment later if the bus is away. Nothing comes after that.
func leave(sub *nats.Subscription) {
	closed := sub.StatusChanged(nats.SubscriptionClosed)
	if sub.Drain() == nil {
		select {
		case <-closed:
		case <-time.After(finishTime):
		}
	}
	_ = sub.Unsubscribe() // no effect when it is drained
}

func (b *Bus) reply(ctx context.Context, h *service.Host, m *nats.Msg, answer Answer) {
	request := (&http.Request{Header: http.Header(m.Header)}).WithContext(ctx)
	ctx, cancel, _ := deadline.From(request, h.Defects)
	defer cancel()
	if deadline.Expired(ctx) {
		return // nobody waits
	}
	ctx, end := h.Tracer.Consume(ctx, m.Subject, m.Header)
	ctx = service.WithOperation(ctx, service.Operation{ID: m.Header.Get(service.RequestIDHeader)})
	out, err := answer(ctx, m.Data)
	end(err)
	if err != nil && deadline.Expired(ctx) {
		return // the caller has given up too
	}
	if err := m.RespondMsg(encodeReply(h, m.Subject, out, err)); err != nil {
		h.Logger.WarnContext(ctx, "answer not sent", "subject", m.Subject, "error", err)
	}
}

func encodeReply(h *service.Host, subject string, out any, err error) *nats.Msg {
	reply := nats.NewMsg("")
	if err == nil {
		reply.Data, err = json.Marshal(out)
	}
	if err == nil {
		return reply
	}
	p := service.Problem{Status: http.StatusInternalServerError, Title: "internal error"}
	if !errors.As(err, &p) {
		h.Logger.Error("request failed", "subject", subject, "error", err)
	}
	reply.Header.Set(headerErrorCode, strconv.Itoa(p.Status))
	reply.Header.Set(headerError, headerText(p.Title+" "+p.Detail))
	return reply
}
