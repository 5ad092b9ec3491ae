// Strangler-fig migration of the profiles, from legacy to users.
//
// Answers: moving a function out of the monolith while it is in use, and a new
// service that turns out not to be up to it. A percentage of the customers, always
// the same ones, is served by users. While it is above 0 every write goes to both
// stores: to legacy first, which stays the system of record until the end, so
// that the way back loses nothing. Reads from users are compared with legacy's.
// Numbers: back to 0 % by itself when more than 5 % of at least 20 calls to users
// fail or give another content for the same version, within 30 s. A customer is
// not served worse meanwhile: legacy answers instead.
// Costs: twice the writes and the reads during the migration; a write needs legacy.
// Breaks without it: scenario rollback, TestStranglerRollsBack. No off switch:
// the percentage is one.

package gateway

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/service"
)

const (
	migrationKey      = "migration.profile"
	migrationErrors   = 0.05
	migrationMinCalls = 20
)

type strangler struct {
	legacy, users book
	deploys       *deploys
	errors        *window // of users
	outcomes      *prometheus.CounterVec
	backs         prometheus.Counter
	repair        *repair
}

func newStrangler(h *service.Host, d *deploys, legacy, users *upstream) *strangler {
	c := newIntegrity(h)
	s := &strangler{
		backs:  newRollbacks(h, "users", "migration"),
		legacy: book{legacy, c}, users: book{users, c}, deploys: d, errors: newWindow(),
		outcomes: h.Counter("gateway_migration_total", "Calls to users for the migration of profiles, by what came of them.", "outcome"),
	}
	s.repair = newRepair(h, s.legacy, s.users, d)
	h.GaugeFunc("gateway_migration_percent", "Customers whose profile users serves.", prometheus.Labels{"migration": "profile"},
		func() float64 { return float64(s.percent()) })
	return s
}

func (s *strangler) percent() int {
	state, _ := s.deploys.state(migrationKey)
	return state.Percent
}

// moved reports whether users serves a customer at this percentage. Who is moved
// stays so while it rises.
func moved(customer string, percent int) bool {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(customer)) // never fails
	return int(hash.Sum32()%100) < percent
}

// put writes to legacy and, during the migration, what legacy has stored to users.
func (s *strangler) put(ctx context.Context, customer string, c change) (Profile, error) {
	stored, err := s.legacy.put(ctx, customer, c)
	if err != nil || s.percent() == 0 {
		return stored, err
	}
	copied, err := s.users.put(ctx, customer, change{stored.Name, stored.Address, &stored.Version})
	if err == nil && copied != stored && copied.Version <= stored.Version {
		err = differs(stored)
	}
	if err != nil {
		s.failed(ctx, "write failed", err)
		s.repair.soon()
		return stored, nil // it is stored; the copy follows
	}
	s.ok("written")
	return stored, nil
}

// get reads from legacy, or for those who are moved from both.
func (s *strangler) get(ctx context.Context, customer string) (Profile, error) {
	if !moved(customer, s.percent()) {
		return s.legacy.find(ctx, customer)
	}
	var old Profile
	var oldErr error
	var wg sync.WaitGroup
	wg.Go(func() { old, oldErr = s.legacy.find(ctx, customer) })
	copied, err := s.users.find(ctx, customer)
	wg.Wait()
	return s.compare(ctx, old, oldErr, copied, err)
}

// compare decides which of the two answers counts.
func (s *strangler) compare(ctx context.Context, old Profile, oldErr error, copied Profile, err error) (Profile, error) {
	var refused refusal
	switch {
	case errors.As(err, &refused) && oldErr == nil: // not copied yet
		s.ok("missing")
		s.repair.soon()
		return old, nil
	case errors.As(err, &refused):
		s.ok("read")
		return old, oldErr
	case err != nil:
		s.failed(ctx, "read failed", err)
		return old, oldErr
	case oldErr != nil: // the migration has begun to pay
		s.ok("read")
		return copied, nil
	case old.Version > copied.Version: // a write is on its way, or was lost
		s.ok("behind")
		s.repair.soon()
		return old, nil
	case old.Version == copied.Version && old != copied:
		s.failed(ctx, "differs", differs(old))
		s.repair.soon()
		return old, nil
	}
	s.ok("read")
	return copied, nil
}

func differs(p Profile) error {
	return fmt.Errorf("users has another version %d of %s", p.Version, p.Customer)
}

func (s *strangler) ok(what string) {
	s.outcomes.WithLabelValues(what).Inc()
	s.errors.add(outcome{})
}

// failed counts a failure of users, and goes back to legacy if there are too many.
func (s *strangler) failed(ctx context.Context, what string, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return // a client that hung up says nothing about users
	}
	s.outcomes.WithLabelValues(what).Inc()
	s.errors.add(outcome{failed: true})
	sum := s.errors.sum()
	if sum.total < migrationMinCalls || sum.failures() <= migrationErrors {
		return
	}
	reason := fmt.Sprintf("%.1f %% of %d calls to users failed, more than %.0f %%; the last: %v", 100*sum.failures(), sum.total, 100*migrationErrors, err)
	s.deploys.rollBack(migrationKey, reason, s.backs, func(now *State) bool {
		if now.Percent == 0 {
			return false
		}
		now.Percent = 0
		return true
	})
}

// move sets the percentage; users is judged afresh.
func (s *strangler) move(ctx context.Context, percent int) (State, error) {
	s.errors.clear()
	state, err := s.deploys.decide(ctx, migrationKey, func(now *State) bool {
		now.Percent, now.By, now.Reason = percent, "operator", fmt.Sprintf("%d %% of the customers", percent)
		return true
	})
	s.repair.soon()
	return state, err
}
