// Fallback to the backup provider.
//
// Answers: a primary provider that is down, slow, or shed by its breaker.
// Numbers: one fallback and no more; see timeout.go for the time it has.
// Costs: the backup's higher fee, and a void whenever it is unknown whether
// the primary took the money.
// Breaks without it: scenario psp-slow. Off switch: D28, the backup is
// configured with the primary's address and so fails together with it.

package payments

import (
	"context"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

type fallback struct {
	providers []*provider // in order of preference
}

func newFallback(h *service.Host, b *book) (*fallback, error) {
	primary, err := h.URL("PSP_PRIMARY_URL")
	if err != nil {
		return nil, err
	}
	backup, err := h.URL("PSP_BACKUP_URL")
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
	for _, p := range f.providers {
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
