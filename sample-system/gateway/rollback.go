package gateway

import (
	"context"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

// newRollbacks counts the decisions that the gateway takes by itself.
func newRollbacks(h *service.Host, callee, kind string) prometheus.Counter {
	return h.Counter("gateway_rollbacks_total", "Automatic rollbacks of a canary or a migration.", "callee", "kind").WithLabelValues(callee, kind)
}

// rollBack makes a change take effect here at once, and everywhere as soon as
// it can be written. It is counted if there was anything to change.
func (d *deploys) rollBack(key, reason string, counter prometheus.Counter, change func(*State) bool) {
	full := func(s *State) bool {
		if !change(s) {
			return false
		}
		s.By, s.Reason, s.At = d.by, reason, time.Now()
		return true
	}
	d.mu.Lock()
	r := d.states[key]
	if full(&r.State) {
		d.states[key] = r
		d.due[key] = full
		counter.Inc()
		d.log.Warn("rolled back", "key", key, "reason", reason)
	}
	d.mu.Unlock()
	backoff.Signal(d.wake)
}

// writeDue writes rollbacks until none is left, whenever there are any.
func (d *deploys) writeDue(ctx context.Context) error {
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second}
	for failures := 0; ; {
		d.mu.RLock()
		due := maps.Clone(d.due)
		d.mu.RUnlock()
		failed := false
		for key, change := range due {
			if _, err := d.decide(ctx, key, change); err != nil {
				failed = true
				continue
			}
			d.mu.Lock()
			delete(d.due, key)
			d.mu.Unlock()
		}
		wait := time.Hour // until somebody signals
		if failed {
			failures++
			wait = pause.Delay(failures)
		} else {
			failures = 0
		}
		if backoff.Wait(ctx, wait, d.wake) != nil {
			return nil
		}
	}
}
