// Leader election.
//
// Answers: work that two instances would do twice or in the wrong order, and
// that must go on when one of them dies.
// Numbers: lease 3 s, renewed every second, and 0.1 s after a renewal that failed
// or had no answer for a second; who waits looks every second. A leader that dies is
// replaced within 4 s, one that is stopped in good order within a second.
// Costs: one write per second and election; while nobody leads, nothing of it is
// done. A bus without a majority has no leader.
// Breaks without it: TestOneLeads, TestCutOffLeaderStops.
// Off switch: none of its own; D26 (fence.go) lets a former leader go on.

package leader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

// Election is one instance's part in choosing a leader.
type Election struct {
	h    *service.Host
	bus  *bus.Bus
	name string
	now  func() time.Time

	mu    sync.Mutex
	lease lease

	kv jetstream.KeyValue // of run alone; nil: to be opened
}

// Elect takes part in the election called name for as long as h runs. The name
// must be a valid NATS key, "orders-relay".
func Elect(h *service.Host, b *bus.Bus, name string) *Election {
	return elect(h, b, name, time.Now)
}

func elect(h *service.Host, b *bus.Bus, name string, now func() time.Time) *Election {
	e := &Election{h: h, bus: b, name: name, now: now, lease: newLease(h.Defects)}
	labels := prometheus.Labels{"election": name}
	h.GaugeFunc("leader_leading", "1 while this instance leads.", labels, func() float64 {
		if _, leading := e.Term(); leading {
			return 1
		}
		return 0
	})
	h.GaugeFunc("leader_term", "Last term in which this instance has led; 0 for none.", labels, func() float64 {
		term, _ := e.Term()
		return float64(term)
	})
	h.Go("election "+name, e.run)
	return e
}

// Term is the term in which this instance leads now, or has led last. Terms of
// one election rise, and no two leaders have the same. Since it may end at any
// moment, each write is to be fenced with it.
func (e *Election) Term() (term int64, leading bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lease.term, e.lease.leads(e.now())
}

func (e *Election) run(ctx context.Context) error {
	defer e.resign()
	for {
		err := e.round(ctx)
		if err != nil && ctx.Err() == nil {
			e.h.Logger.Warn("election", "election", e.name, "error", err)
			e.kv = nil // the bucket may have gone
		}
		pause := look
		switch _, leading := e.Term(); {
		case leading && err != nil:
			pause = again
		case leading:
			pause = renewal
		}
		if backoff.Wait(ctx, pause, nil) != nil {
			return nil
		}
	}
}

// round renews the lease, or looks whether there is one to be had.
func (e *Election) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewal)
	defer cancel()
	if e.kv == nil {
		kv, err := e.bus.Bucket(ctx, bucket)
		if err != nil {
			return err
		}
		e.kv = kv
	}
	e.mu.Lock()
	held := e.lease
	e.mu.Unlock()
	if held.revision == 0 {
		return e.campaign(ctx, held)
	}
	return e.renew(ctx, held)
}

func (e *Election) campaign(ctx context.Context, l lease) error {
	_, _, err := read(ctx, e.kv, e.name)
	if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return err // nil: another one leads
	}
	value, err := json.Marshal(record{Holder: e.h.Name})
	if err != nil {
		return err
	}
	l.renewed = e.now()
	l.revision, err = e.kv.Create(ctx, e.name, value)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("campaign: %w", err)
	}
	l.term = int64(l.revision)
	e.set(l)
	e.h.Logger.Info("leads", "election", e.name, "term", l.term)
	return nil
}

func (e *Election) renew(ctx context.Context, l lease) error {
	next, err := l.renew(ctx, e.kv, e.name, e.h.Name, e.now())
	if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		if now := e.revision(ctx, l); now != l.revision {
			l.revision = now
			next, err = l.renew(ctx, e.kv, e.name, e.h.Name, e.now())
		}
	}
	switch {
	case err == nil:
		e.set(next)
		return nil
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch):
		e.h.Logger.Warn("leads no more", "election", e.name, "term", l.term)
		e.lose()
		return nil
	default:
		return fmt.Errorf("renew: %w", err)
	}
}

// revision is that of the lease now, if it is still ours: the answer to a renewal
// may have been lost.
func (e *Election) revision(ctx context.Context, l lease) uint64 {
	now, held, err := read(ctx, e.kv, e.name)
	if err == nil && held.Holder == e.h.Name && held.Term == l.term {
		return max(now, l.revision) // a replica may be behind
	}
	return l.revision
}

func (e *Election) set(l lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lease = l
}

// lose gives the lease up; the term stays known as the last one.
func (e *Election) lose() lease {
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.lease
	e.lease.revision, e.lease.renewed = 0, time.Time{}
	return last
}

// resign ends the lease at once, so that the next one need not wait for its end.
func (e *Election) resign() {
	last := e.lose()
	if last.revision == 0 || e.kv == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseTime/6)
	defer cancel()
	if err := e.kv.Delete(ctx, e.name, jetstream.LastRevision(e.revision(ctx, last))); err != nil {
		e.h.Logger.Warn("leads until the lease ends", "election", e.name, "error", err)
	}
}

// read is the current record and its revision.
func read(ctx context.Context, kv jetstream.KeyValue, name string) (uint64, record, error) {
	entry, err := kv.Get(ctx, name)
	if err != nil {
		return 0, record{}, err
	}
	r, err := decode(entry.Value(), entry.Revision())
	return entry.Revision(), r, err
}

// decode reads a record; one that begins a term has its revision as the term.
func decode(value []byte, revision uint64) (record, error) {
	var r record
	if err := json.Unmarshal(value, &r); err != nil {
		return record{}, fmt.Errorf("read leader: %w", err)
	}
	if r.Holder == "" || r.Term < 0 {
		return record{}, fmt.Errorf("read leader: no record: %q", value)
	}
	if r.Term == 0 {
		r.Term = int64(revision)
	}
	return r, nil
}
