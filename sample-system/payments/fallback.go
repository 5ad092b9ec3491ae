// Fallback to the backup provider: active and standby.
//
// Answers: a primary provider that is down, slow, or shed by its breaker.
// Numbers: one fallback and no more. A provider answers in a few ms; 400 ms for
// the primary is far above its p99 and leaves time for the backup, which gets
// 700 ms because nobody is left to ask after it. Together they stay below the
// 1.2 s that orders waits per attempt.
// Costs: the backup's higher fee, and a void whenever it is unknown whether
// the primary took the money.
// Breaks without it: scenario psp-slow, TestFallback. Off switch: D28, the
// backup is configured with the primary's address and so fails together with it.

package payments

import (
	"context"
	"time"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

const (
	primaryTimeout = 400 * time.Millisecond
	backupTimeout  = 700 * time.Millisecond
)

type fallback struct {
	providers []*provider // in order of preference
}

func newFallback(h *service.Host, b *book) (*fallback, error) {
	primary, err := h.Addresses("PSP_PRIMARY_URL")
	if err != nil {
		return nil, err
	}
	backup, err := h.Addresses("PSP_BACKUP_URL")
	if err != nil {
		return nil, err
	}
	if h.Defects.Has(defect.FallbackToPrimary) {
		backup = primary
	}
	return &fallback{[]*provider{
		newProvider(h, b, "psp-primary", primary, primaryTimeout),
		newProvider(h, b, "psp-backup", backup, backupTimeout),
	}}, nil
}

// charge asks one provider after the other until one gives a final answer.
func (f *fallback) charge(ctx context.Context, key string, req ChargeRequest) (result, error) {
	for i, p := range f.providers {
		if i > 0 {
			tracing.Event(ctx, "fallback", "to", p.name)
		}
		r, err := p.charge(ctx, key, req)
		if err != nil || r.status != statusUnavailable {
			return r, err
		}
	}
	return result{status: statusUnavailable}, nil
}

func (f *fallback) named(name string) *provider {
	for _, p := range f.providers {
		if p.name == name {
			return p
		}
	}
	return nil
}
