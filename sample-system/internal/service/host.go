// Package service is what every process of the shop has in common: an HTTP
// server that sheds what it cannot do, health, metrics and logs, background
// tasks with an owner, and an orderly end.
package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/deadline"
	"squall/sample-system/internal/tracing"
)

// flushTime is what the last spans may take; a collector that is away must not
// hold up a restart.
const flushTime = 300 * time.Millisecond

// Setup builds one service on a host: it registers routes and tasks.
type Setup func(ctx context.Context, h *Host) error

// Host runs one service.
type Host struct {
	Config
	Logger  *slog.Logger
	Metrics *prometheus.Registry
	Tracer  *tracing.Tracer // nil makes ids and exports nothing

	business, ops *http.ServeMux // one and the same unless SHOP_OPS is set
	before        []Precondition
	meters        meters
	shedder       *shedder
	health        health
	draining      atomic.Bool
	asked         atomic.Int64 // when a request came last while draining, Unix nanoseconds
	onDrain       []func(context.Context)
	unused        unusedConns
	tasks         []task
	closers       []func() error

	sharedMu sync.Mutex
	shared   map[string]any

	listener, opsListener net.Listener
}

type task struct {
	name string
	run  func(context.Context) error
}

// Bare is a host that is not listening and will not Run: for parts that only
// need its configuration, metrics and log. The caller must Close it.
func Bare(cfg Config) *Host {
	h := &Host{
		Config:   cfg,
		Logger:   NewLogger(cfg.Log, cfg.Service, cfg.Name),
		Metrics:  newRegistry(),
		business: http.NewServeMux(),
		shared:   map[string]any{},
	}
	h.ops = h.business
	if cfg.Ops != "" {
		h.ops = http.NewServeMux()
	}
	h.meters = newMeters(h)
	h.shedder = newShedder(h)
	h.health.register(h)
	h.operational()
	return h
}

// New builds the service and listens. The caller must Run it.
func New(ctx context.Context, cfg Config, setup Setup) (*Host, error) {
	h := Bare(cfg)
	if err := h.trace(ctx); err != nil {
		return nil, fmt.Errorf("set up %s: %w", cfg.Name, err)
	}
	if err := setup(ctx, h); err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", cfg.Name, err), h.Close())
	}
	if err := h.listen(); err != nil {
		return nil, errors.Join(fmt.Errorf("listen %s: %w", cfg.Name, err), h.Close())
	}
	return h, nil
}

// Go registers a task that Run starts, and waits for. A task that ends with an
// error before its context does ends the process: better dead than half alive.
func (h *Host) Go(name string, run func(ctx context.Context) error) {
	h.tasks = append(h.tasks, task{name, run})
}

// OnClose registers what is released last, in reverse order.
func (h *Host) OnClose(f func() error) { h.closers = append(h.closers, f) }

// Precondition is what a request must meet, such as who is calling. Its error
// is the answer; it may add to the answer's header either way.
type Precondition func(answer http.Header, r *http.Request) error

// Before registers what every business request must meet before it is served or
// queued.
func (h *Host) Before(check Precondition) { h.before = append(h.before, check) }

// Shared is what several parts of one process have in common under a name; the
// first to ask makes it.
func Shared[T any](h *Host, name string, create func() T) T {
	h.sharedMu.Lock()
	defer h.sharedMu.Unlock()
	v, ok := h.shared[name]
	if !ok {
		v = create()
		h.shared[name] = v
	}
	return v.(T)
}

// Run serves until ctx ends, then drains: no new work comes, requests in
// flight end, tasks end, resources are released.
func (h *Host) Run(ctx context.Context) error {
	taskCtx, stop := context.WithCancel(deadline.With(context.WithoutCancel(ctx), h.Defects))
	defer stop()
	failed := make(chan error, len(h.tasks)+2)
	servers := h.servers()

	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() {
			if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", h.Name, err)
			}
		})
	}
	for _, t := range h.tasks {
		wg.Go(func() {
			if err := t.run(taskCtx); err != nil && taskCtx.Err() == nil {
				failed <- fmt.Errorf("run %s %s: %w", h.Name, t.name, err)
			}
		})
	}
	h.Logger.Info("started", "addr", h.Addr(), "ops", h.OpsAddr(), "version", h.Version)

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	h.drain(servers[0].Server)
	stop()
	for _, s := range servers {
		_ = s.Close() // the first is closed already; the operations listener is needed no more
	}
	wg.Wait()
	h.Logger.Info("stopped")
	return errors.Join(err, h.Close())
}

// trace opens the exporter of traces. What is still queued goes out last.
func (h *Host) trace(ctx context.Context) error {
	tracer, flush, err := tracing.New(ctx, h.Service, h.Name, h.Getenv)
	if err != nil {
		return err
	}
	h.Tracer = tracer
	h.Metrics.MustRegister(tracer.Collectors()...)
	h.OnClose(func() error {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTime)
		defer cancel()
		if err := flush(last); err != nil {
			h.Logger.Warn("spans lost at the end", "error", err)
		}
		return nil
	})
	return nil
}

// Close releases what OnClose was given. Run does it by itself.
func (h *Host) Close() error {
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	h.closers = nil
	return errors.Join(errs...)
}
