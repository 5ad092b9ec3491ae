// Liveness and readiness.
//
// Answers: an instance that cannot work, and must get no traffic until it can;
// and one that can, though something it can do without is down. Live means that
// the process answers at all: only a dead one should be restarted, and a restart
// mends no dependency. Ready means that every required check passes. An optional
// dependency is shown and counts for nothing: it is shared by the whole fleet,
// which would leave all at once.
// Numbers: a probe every 500 ms with 500 ms to answer. Two in a row turn a check
// either way, so that a single blip, or a single success of something broken,
// moves nobody; not ready within 1 s, or 2 s if the probe hangs. The first
// success of all counts at once, and comes soon (every 25 ms).
// Costs: two small queries a second for each check, 0.05 % of a core for three.
// Breaks without it: TestReadiness, TestReadinessHysteresis. Off switch: D30,
// deep where it should be shallow and the other way round: optional checks
// decide, required ones do not.

package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/defect"
)

const (
	probeEvery   = 500 * time.Millisecond
	probeFirst   = 25 * time.Millisecond
	probeTimeout = 500 * time.Millisecond
	probeStreak  = 2
)

var errNotProbed = errors.New("not checked yet")

type health struct {
	deep   bool // D30
	mu     sync.Mutex
	checks []*check
}

type check struct {
	name     string
	required bool
	probe    func(context.Context) error

	mu     sync.Mutex
	err    error // nil: passes
	passed bool  // at least once
	streak int   // probes in a row that said otherwise
}

// Check registers a probe of something this service depends on. A required one
// that fails makes the service not ready; an optional one is only shown. The
// probe must look at its context.
func (h *Host) Check(name string, required bool, probe func(context.Context) error) {
	c := &check{name: name, required: required, probe: probe, err: errNotProbed}
	h.health.mu.Lock()
	h.health.checks = append(h.health.checks, c)
	h.health.mu.Unlock()
	h.GaugeFunc("health_check_up", "1 if the last probes of a dependency passed.",
		prometheus.Labels{"check": name, "required": strconv.FormatBool(required)}, func() float64 {
			if c.state() != nil {
				return 0
			}
			return 1
		})
	h.Go("check "+name, c.run)
}

// Ready is nil if this instance should get traffic, else the reason why not.
func (h *Host) Ready() error {
	if h.draining.Load() {
		return errors.New("draining")
	}
	return h.health.ready()
}

func (s *health) register(h *Host) {
	s.deep = h.Defects.Has(defect.WrongHealthChecks)
	h.GaugeFunc("service_ready", "1 if this instance wants traffic.", nil, func() float64 {
		if h.Ready() != nil {
			return 0
		}
		return 1
	})
}

func (s *health) all() []*check {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checks
}

func (s *health) ready() error {
	var errs []error
	for _, c := range s.all() {
		if err := c.state(); err != nil && c.required != s.deep {
			errs = append(errs, fmt.Errorf("%s: %w", c.name, err))
		}
	}
	return errors.Join(errs...)
}

// run probes until ctx ends.
func (c *check) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		err := c.probe(probe)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		timer.Reset(c.observe(err))
	}
}

// observe takes one probe into account and says when the next is due.
func (c *check) observe(err error) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	same := (err == nil) == (c.err == nil)
	if same {
		c.streak = 0
	} else {
		c.streak++
	}
	if same || !c.passed || c.streak >= probeStreak {
		c.err, c.streak = err, 0
	}
	if c.passed = c.passed || err == nil; !c.passed {
		return probeFirst
	}
	return probeEvery
}

func (c *check) state() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// report is the body of /readyz.
type report struct {
	Status string        `json:"status"` // ready
	Checks []checkReport `json:"checks"`
}

type checkReport struct {
	Name     string `json:"name"`
	Required bool   `json:"required"`
	State    string `json:"state"` // up, down
	Error    string `json:"error,omitempty"`
}

func (s *health) report() []checkReport {
	out := []checkReport{}
	for _, c := range s.all() {
		r := checkReport{Name: c.name, Required: c.required, State: "up"}
		if err := c.state(); err != nil {
			r.State, r.Error = "down", err.Error()
		}
		out = append(out, r)
	}
	return out
}

func (s *health) handleLive(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusNoContent)
}

func (h *Host) handleReady(w http.ResponseWriter, _ *http.Request) {
	checks := h.health.report()
	if err := h.Ready(); err != nil {
		_ = write(w, http.StatusServiceUnavailable, problemType, struct {
			Problem
			Checks []checkReport `json:"checks"`
		}{Problem{Status: http.StatusServiceUnavailable, Title: "not ready", Detail: err.Error()}, checks})
		return
	}
	_ = write(w, http.StatusOK, "application/json", report{"ready", checks})
}
