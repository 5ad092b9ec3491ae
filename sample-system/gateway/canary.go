// Canary, with automatic rollback.
//
// Answers: a new version that fails or is slow. It gets a few percent of the
// requests, and loses them by itself when its own errors or its own slowest
// calls say that it is worse. The errors count against a fixed bound: an outage
// that hits both versions is no time to go on with a rollout either. Times count
// against the live version's, since how long is too long depends on the route.
// Numbers: more than 5 % of at least 20 calls failed; or a p99 of more than three
// times the live version's and 100 ms, out of at least 50 calls, of which 5 that
// slow (2 % of 50 would be a single stall of the machine); or, when the live
// version's p99 is no measure because everything is under load, a median above
// its p90 and 100 ms. Looked at every 200 ms over 30 s. So one bad canary call in twenty is tolerated, and a broken canary
// that gets 2 calls a second is gone after 10 s. A repetition goes to the live
// version, so that users hardly see the canary's errors.
// Costs: up to 20 failed attempts, and the time of as many repetitions.
// Breaks without it: scenario canary-rollback, TestCanaryRollback. Off switch: D37, looks
// at the errors of the whole service as users see them, among which a canary's
// few, repeated elsewhere, vanish.

package gateway

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
)

const (
	canaryInterval   = 200 * time.Millisecond
	canaryErrors     = 0.05
	canaryMinCalls   = 20
	canaryMinForP99  = 50
	canaryMinSlow    = 5
	canarySlowFactor = 3
	canarySlowFloor  = 100 * time.Millisecond
)

// route is the version that a request was sent to.
type route struct {
	version string // "" for whichever is live
	canary  bool
	match   func(registry.Instance) bool
}

func (r route) name() string { return cmp.Or(r.version, "live") }

// split divides the requests to one service between its versions.
type split struct {
	service string
	deploys *deploys
	whole   bool // D37
	all     *window
	backs   prometheus.Counter

	mu       sync.Mutex
	versions map[string]*window
}

func newSplit(h *service.Host, d *deploys, name string) *split {
	return &split{service: name, deploys: d, whole: h.Defects.Has(defect.CanaryLooksAtAll), all: newWindow(), backs: newRollbacks(h, name, "canary"), versions: map[string]*window{}}
}

func (s *split) key() string { return deployKey(s.service) }

func deployKey(service string) string { return "deploy." + service }

// choose picks the version for the n-th attempt of a request, from 1.
func (s *split) choose(attempt int) route {
	state, _ := s.deploys.state(s.key())
	if c := state.Canary; c != nil && attempt == 1 && rand.IntN(100) < c.Weight {
		return route{c.Version, true, func(i registry.Instance) bool { return i.Version == c.Version }}
	}
	return live(state)
}

// live is where requests go that are no canary's. Instances that have not yet
// told their version are taken for live ones.
func live(s State) route {
	switch {
	case s.Live != "":
		return route{s.Live, false, func(i registry.Instance) bool { return i.Version == s.Live || i.Version == "" }}
	case s.Canary != nil:
		canary := s.Canary.Version
		return route{"", false, func(i registry.Instance) bool { return i.Version != canary && i.Weight > 0 }}
	default:
		return route{}
	}
}

// observe takes an attempt into account for its version; observeAll what users
// saw in the end for the whole service.
func (s *split) observe(version string, o outcome) { s.window(version).add(o) }
func (s *split) observeAll(o outcome)              { s.all.add(o) }

func (s *split) window(version string) *window {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.versions[version]
	if w == nil {
		w = newWindow()
		s.versions[version] = w
	}
	return w
}

// judge says what is wrong with the canary, "" if nothing is.
func (s *split) judge(canary, liveVersion string) string {
	own := s.window(canary).sum()
	if s.whole {
		own = s.all.sum()
	}
	if own.total >= canaryMinCalls && own.failures() > canaryErrors {
		return fmt.Sprintf("%.1f %% of %d calls to %s failed, more than %.0f %%", 100*own.failures(), own.total, canary, 100*canaryErrors)
	}
	others := s.window(liveVersion).sum()
	limit := max(canarySlowFactor*others.quantile(0.99), canarySlowFloor)
	if p99 := own.quantile(0.99); own.total >= canaryMinForP99 && p99 > limit && own.slower(limit) >= canaryMinSlow {
		return fmt.Sprintf("the p99 of %d calls to %s is %v, more than %v", own.total, canary, p99.Round(time.Millisecond), limit.Round(time.Millisecond))
	}
	limit = max(others.quantile(0.9), canarySlowFloor)
	if median := own.quantile(0.5); own.total >= canaryMinCalls && median > limit {
		return fmt.Sprintf("half of %d calls to %s took %v, and nine of ten to the live version %v", own.total, canary, median.Round(time.Millisecond), limit.Round(time.Millisecond))
	}
	return ""
}

// check takes a bad canary's share away.
func (s *split) check() {
	state, _ := s.deploys.state(s.key())
	if state.Canary == nil || state.Canary.Weight == 0 {
		return
	}
	version := state.Canary.Version
	reason := s.judge(version, live(state).version)
	if reason == "" {
		return
	}
	s.deploys.rollBack(s.key(), reason, s.backs, func(now *State) bool {
		if now.Canary == nil || now.Canary.Version != version || now.Canary.Weight == 0 {
			return false // somebody has decided otherwise already
		}
		now.Canary = &Canary{Version: version}
		return true
	})
}

// watchCanaries checks the canaries of the services for as long as h runs.
func watchCanaries(h *service.Host, services ...*upstream) {
	h.Go("canaries", func(ctx context.Context) error {
		for backoff.Wait(ctx, canaryInterval, nil) == nil {
			for _, u := range services {
				u.split.check()
			}
		}
		return nil
	})
}

// startCanary gives a version a share of the requests; it is judged afresh.
func (s *split) startCanary(ctx context.Context, c Canary) (State, error) {
	s.window(c.Version).clear()
	s.all.clear()
	return s.deploys.decide(ctx, s.key(), func(now *State) bool {
		now.Canary, now.By, now.Reason = &c, "operator", fmt.Sprintf("canary %s gets %d %%", c.Version, c.Weight)
		return true
	})
}

// known reports whether an instance of the version is there.
func known(instances []registry.Instance, version string) bool {
	return slices.ContainsFunc(instances, func(i registry.Instance) bool { return i.Version == version })
}
