package payments

import (
	"context"
	"errors"
	"net/http"
	"time"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
)

// providerCalls bounds what is under way to one provider at once: at 100
// charges/s one that hangs collects 40 before the first times out, and its
// breaker opens long before.
const providerCalls = 64

// provider is one outside provider behind its guard. There is no retry here:
// orders retries already, and retries at two layers multiply.
type provider struct {
	name   string
	client *call.Client
	guard  *policy.Guard
	book   *book
}

func newProvider(h *service.Host, b *book, name, address string, limit time.Duration) *provider {
	client := call.New(h, name, registry.NewResolver(h, nil, name, address)) // it is not in our registry
	return &provider{
		name: name, client: client, book: b,
		guard: policy.New(h, client.Edge, policy.Options{Breaker: true, Bulkhead: providerCalls, Timeout: limit}),
	}
}

// charge calls the provider once. The status is statusUnavailable when the
// money was not taken, or when that is unknown and a void is noted.
func (p *provider) charge(ctx context.Context, key string, req ChargeRequest) (result, error) {
	var a attempt // stays empty while the guard lets nothing through
	err := p.guard.Run(ctx, "", func(ctx context.Context, _ string) (err error) {
		if a, err = p.book.begin(ctx, key, req.Order, p.name); err != nil {
			return err
		}
		return p.client.Post(ctx, "/charges", a.id, req, nil)
	})
	switch {
	case a.id == "" && policy.IsOpen(err):
		return result{status: statusUnavailable}, nil
	case a.id == "":
		return result{}, err // the book failed, not the provider
	case err == nil:
		return p.book.charged(ctx, a)
	case statusOf(err) == http.StatusPaymentRequired:
		return p.book.declined(ctx, a)
	case !call.Unavailable(err) || call.NotSent(err):
		return result{status: statusUnavailable}, p.book.giveUp(ctx, a, attemptRefused)
	default:
		return result{status: statusUnavailable}, p.book.giveUp(ctx, a, attemptVoid)
	}
}

// reverse voids or refunds an attempt; the provider does either at most once.
// It passes the same guard: what is owed to a provider that is down must not
// keep it down.
func (p *provider) reverse(ctx context.Context, path string, a attempt) error {
	ctx = service.WithOperation(ctx, service.Operation{ID: a.order})
	return p.guard.Run(ctx, a.id, func(ctx context.Context, key string) error {
		return p.client.Post(ctx, path, key, reversal{Key: a.id, Order: a.order}, nil)
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
