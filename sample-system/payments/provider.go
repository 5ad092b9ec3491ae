package payments

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
)

// provider is one outside provider behind its breaker and timeout. There is no
// retry here: orders retries already, and retries at two layers multiply.
type provider struct {
	name   string
	client *call.Client
	policy failsafe.Executor[any]
	book   *book
}

func newProvider(h *service.Host, b *book, name, url string, limit time.Duration) *provider {
	client := call.New(h, name, url)
	policies := append([]failsafe.Policy[any]{newBreaker(h, client.Edge)}, timeouts(limit, h.Defects)...)
	return &provider{name: name, client: client, policy: failsafe.With(policies...), book: b}
}

// charge calls the provider once. The status is statusUnavailable when the
// money was not taken, or when that is unknown and a void is noted.
func (p *provider) charge(ctx context.Context, key string, req ChargeRequest) (result, error) {
	var a attempt // stays empty while the breaker lets nothing through
	err := p.policy.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) (err error) {
		if a, err = p.book.begin(ctx, key, req.Order, p.name); err != nil {
			return err
		}
		return p.client.Post(e.Context(), "/charges", a.id, req, nil)
	})
	switch {
	case a.id == "" && errors.Is(err, circuitbreaker.ErrOpen):
		return result{status: statusUnavailable}, nil
	case a.id == "":
		return result{}, err // the book failed, not the provider
	case err == nil:
		return p.book.charged(ctx, a)
	case statusOf(err) == http.StatusPaymentRequired:
		return p.book.declined(ctx, a)
	case !call.Unavailable(err) || call.NotSent(err):
		return result{status: statusUnavailable}, p.book.settle(ctx, a, attemptRefused)
	default:
		return result{status: statusUnavailable}, p.book.settle(ctx, a, attemptVoid)
	}
}

// reverse voids or refunds an attempt; the provider does either at most once.
// It passes the same breaker: what is owed to a provider that is down must not
// keep it down.
func (p *provider) reverse(ctx context.Context, path string, a attempt) error {
	ctx = service.WithOperation(ctx, service.Operation{ID: a.order})
	return p.policy.WithContext(ctx).RunWithExecution(func(e failsafe.Execution[any]) error {
		return p.client.Post(e.Context(), path, a.id, reversal{Key: a.id, Order: a.order}, nil)
	})
}

// reversal is the provider's request for a void or refund.
type reversal struct {
	Key   string `json:"key"`
	Order string `json:"order"`
}

func statusOf(err error) int {
	var s *call.StatusError
	if errors.As(err, &s) {
		return s.Status
	}
	return 0
}
