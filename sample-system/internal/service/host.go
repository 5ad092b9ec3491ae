// Package service is what every process of the shop has in common: an HTTP
// server with limits, readiness, metrics and logs, background tasks with an
// owner, and an orderly end.
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
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// drainTime bounds how long requests in flight may take to end after SIGTERM.
// It is below the supervisor's usual 3 s of patience before SIGKILL.
const drainTime = 2 * time.Second

// Setup builds one service on a host: it registers routes and tasks.
type Setup func(ctx context.Context, h *Host) error

// Host runs one service.
type Host struct {
	Config
	Logger  *slog.Logger
	Metrics *prometheus.Registry

	mux      *http.ServeMux
	requests *prometheus.HistogramVec
	inFlight chan struct{} // bulkhead of the whole process
	draining atomic.Bool
	ready    func() error
	tasks    []task
	closers  []func() error

	listener net.Listener
}

type task struct {
	name string
	run  func(context.Context) error
}

// New listens and builds the service. The caller must Run it.
func New(ctx context.Context, cfg Config, setup Setup) (*Host, error) {
	h := &Host{
		Config:   cfg,
		Logger:   newLogger(cfg.Log, cfg.Name),
		Metrics:  newRegistry(),
		mux:      http.NewServeMux(),
		inFlight: make(chan struct{}, maxInFlight),
		ready:    func() error { return nil },
	}
	h.requests = h.Histogram("http_server_request_duration_seconds", "Time to answer a request.", "route", "method", "code")
	h.operational()
	if err := setup(ctx, h); err != nil {
		return nil, errors.Join(fmt.Errorf("set up %s: %w", cfg.Name, err), h.close())
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen %s: %w", cfg.Name, err), h.close())
	}
	h.listener = l
	return h, nil
}

// Addr is where the host listens.
func (h *Host) Addr() string { return h.listener.Addr().String() }

// Go registers a task that Run starts, and waits for. A task that ends with an
// error before its context does ends the process: better dead than half alive.
func (h *Host) Go(name string, run func(ctx context.Context) error) {
	h.tasks = append(h.tasks, task{name, run})
}

// OnClose registers what is released last, in reverse order.
func (h *Host) OnClose(f func() error) { h.closers = append(h.closers, f) }

// ReadyWhen sets the readiness check; its error is the reason for "not ready".
func (h *Host) ReadyWhen(check func() error) { h.ready = check }

// Run serves until ctx ends, then drains: not ready, requests in flight end,
// tasks end, resources are released.
func (h *Host) Run(ctx context.Context) error {
	taskCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	failed := make(chan error, len(h.tasks)+1)
	server := h.server()

	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", h.Name, err)
		}
	})
	for _, t := range h.tasks {
		wg.Go(func() {
			if err := t.run(taskCtx); err != nil && taskCtx.Err() == nil {
				failed <- fmt.Errorf("run %s %s: %w", h.Name, t.name, err)
			}
		})
	}
	h.Logger.Info("started", "addr", h.Addr())

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	h.drain(server)
	stop()
	wg.Wait()
	h.Logger.Info("stopped")
	return errors.Join(err, h.close())
}

func (h *Host) server() *http.Server {
	return &http.Server{
		Handler:           h.mux,
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(h.Logger.Handler(), slog.LevelWarn),
	}
}

func (h *Host) drain(server *http.Server) {
	h.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		h.Logger.Warn("requests still in flight after draining", "error", err)
		_ = server.Close() // only repeats what Shutdown said
	}
}

func (h *Host) close() error {
	var errs []error
	for i := len(h.closers) - 1; i >= 0; i-- {
		errs = append(errs, h.closers[i]())
	}
	h.closers = nil
	return errors.Join(errs...)
}

// operational registers /livez, /readyz and /metrics, which pass the bulkhead
// by: a full service must still be able to say so.
func (h *Host) operational() {
	h.mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		err := h.ready()
		if h.draining.Load() {
			err = errors.New("draining")
		}
		if err != nil {
			WriteProblem(w, Problem{Status: http.StatusServiceUnavailable, Title: "not ready", Detail: err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	h.mux.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics, promhttp.HandlerOpts{}))
}
