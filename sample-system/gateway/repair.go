// Repair of the two stores.
//
// Answers: a write that reached legacy and not users: users was down, the answer
// was lost, the gateway was killed in between, or the migration was rolled back
// and nobody writes to users any more. All profiles of legacy are walked through
// and copied to users where they differ. A copy carries its version, so it cannot
// undo a newer write that overtakes it.
// Numbers: pages of 50. Every 10 s when both agreed; after a failed write or a
// difference after 1 s, at least 1 s apart. Starts with the first decision to
// migrate and goes on after a rollback.
// Costs: a read of all profiles every 10 s, on both sides.
// Breaks without it: TestRepair. No off switch.

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
)

const (
	repairSoon = time.Second
	repairIdle = 10 * time.Second
)

type repair struct {
	legacy, users book
	deploys       *deploys
	log           *slog.Logger
	wake          chan struct{}
	repaired      prometheus.Counter
	differences   atomic.Int64 // found by the last pass; -1: it failed
}

func newRepair(h *service.Host, legacy, users book, d *deploys) *repair {
	r := &repair{
		legacy: legacy, users: users, deploys: d, log: h.Logger, wake: make(chan struct{}, 1),
		repaired: h.Counter("gateway_migration_repaired_total", "Profiles copied to users because the stores differed.").WithLabelValues(),
	}
	h.GaugeFunc("gateway_migration_differences", "Profiles that differed when the stores were last compared; -1: they could not be.", nil,
		func() float64 { return float64(r.differences.Load()) })
	h.Go("repair", r.run)
	return r
}

// soon asks for a pass.
func (r *repair) soon() { backoff.Signal(r.wake) }

func (r *repair) run(ctx context.Context) error {
	pause := repairIdle
	for {
		if backoff.Wait(ctx, repairSoon, nil) != nil || backoff.Wait(ctx, pause-repairSoon, r.wake) != nil {
			return nil
		}
		if _, started := r.deploys.state(migrationKey); !started {
			continue
		}
		n, err := r.pass(ctx)
		r.differences.Store(int64(n))
		pause = repairIdle
		if n != 0 {
			pause = repairSoon
		}
		if err != nil && ctx.Err() == nil {
			r.log.Warn("stores not compared to the end", "error", err)
		}
	}
}

// pass compares all profiles and copies where they differ; it returns how many
// did, or -1 if it did not get to the end.
func (r *repair) pass(ctx context.Context) (differed int, err error) {
	for after := ""; ; {
		page, err := profilesOf(r.legacy.get(ctx, "/profiles?after="+url.QueryEscape(after)))
		if err != nil {
			return -1, fmt.Errorf("list legacy: %w", err)
		}
		if len(page) == 0 {
			return differed, nil
		}
		after = page[len(page)-1].Customer
		n, err := r.page(ctx, page)
		differed += n
		if err != nil {
			return -1, err
		}
	}
}

func (r *repair) page(ctx context.Context, page []Profile) (differed int, err error) {
	names := make([]string, len(page))
	for i, p := range page {
		names[i] = p.Customer
	}
	there, err := profilesOf(r.users.get(ctx, "/profiles?customers="+url.QueryEscape(strings.Join(names, ","))))
	if err != nil {
		return 0, fmt.Errorf("list users: %w", err)
	}
	copies := make(map[string]Profile, len(there))
	for _, p := range there {
		copies[p.Customer] = p
	}
	for _, p := range page {
		if found, ok := copies[p.Customer]; ok && (found == p || found.Version > p.Version) {
			continue
		}
		differed++
		if _, err := r.users.put(ctx, p.Customer, change{p.Name, p.Address, &p.Version}); err != nil {
			return differed, fmt.Errorf("copy %s: %w", p.Customer, err)
		}
		r.repaired.Inc()
	}
	return differed, nil
}

// profilesOf reads a page of profiles.
func profilesOf(reply call.Reply, err error) ([]Profile, error) {
	if err != nil {
		return nil, err
	}
	if reply.Status != http.StatusOK {
		return nil, fmt.Errorf("status %d", reply.Status)
	}
	return decodeProfiles(reply.Body)
}

func decodeProfiles(body []byte) ([]Profile, error) {
	var page struct {
		Profiles []Profile `json:"profiles"`
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("decode profiles: %w", err)
	}
	for _, p := range page.Profiles {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("decode profiles: %w", err)
		}
	}
	return page.Profiles, nil
}
