package service

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"squall/sample-system/internal/deadline"
)

// Handler answers a request or returns an error. A Problem is sent as it is,
// anything else becomes a 500 whose cause is only logged.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Handle registers a business route, "POST /orders": operation id, deadline,
// shedding, metrics, log line.
func (h *Host) Handle(pattern string, serve Handler) {
	_, route, _ := strings.Cut(pattern, " ")
	h.business.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		sw := &statusWriter{ResponseWriter: w}
		ctx, cancel, caller := deadline.From(r, h.Defects)
		defer cancel()
		ctx, end := h.Tracer.Server(r.WithContext(ctx), route)
		ctx = WithOperation(ctx, OperationOf(r))
		r = r.WithContext(ctx)

		defer func() { // also when the answer is cut off
			took, status := time.Since(started), cmp.Or(sw.status, http.StatusOK)
			h.meters.request(route, method(r), status, took)
			if caller.Gone() {
				h.meters.late.WithLabelValues(route).Inc()
			}
			end(status)
			h.Logger.DebugContext(ctx, "request", "route", pattern, "status", status, "took", took)
		}()
		h.answer(sw, r, func() error { return h.admitted(sw, r, route, serve) })
	})
}

// HandleOps registers what is not business traffic, such as an audit endpoint,
// on the operations listener.
func (h *Host) HandleOps(pattern string, serve Handler) {
	h.ops.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		sw := &statusWriter{ResponseWriter: w}
		h.answer(sw, r, func() error { return serve(sw, r) })
	})
}

// admitted serves a request that passes the checks, has time left, and finds a
// slot.
func (h *Host) admitted(w *statusWriter, r *http.Request, route string, serve Handler) error {
	for _, check := range h.before {
		if err := check(w.Header(), r); err != nil {
			return err
		}
	}
	if deadline.Expired(r.Context()) {
		return h.expired(route)
	}
	admitted := h.shedder.admit(r.Context())
	if admitted {
		defer h.shedder.leave()
	}
	switch {
	case deadline.Expired(r.Context()): // while it was queued
		return h.expired(route)
	case !admitted:
		return overloaded(w)
	default:
		return serve(w, r)
	}
}

func (h *Host) expired(route string) Problem {
	h.meters.expired.WithLabelValues(route).Inc()
	return Problem{
		Status: http.StatusGatewayTimeout, Title: "deadline passed", Detail: "the caller's time was up before the work began",
	}.NotExecuted()
}

// answer sends the error of serve, or of its panic, as a problem. If the answer
// has begun, the connection is cut: half of one must not pass for a whole one.
func (h *Host) answer(w *statusWriter, r *http.Request, serve func() error) {
	h.lastAnswer(w.Header())
	err := guarded(serve)
	if err == nil {
		return
	}
	p := Problem{Status: http.StatusInternalServerError, Title: "internal error"}
	if !errors.As(err, &p) {
		h.Logger.ErrorContext(r.Context(), "request failed", "path", r.URL.Path, "error", err)
	}
	if w.status != 0 {
		w.status = p.Status
		panic(http.ErrAbortHandler)
	}
	p.Instance = OperationFrom(r.Context()).ID
	WriteProblem(w, p)
}

// guarded makes a panic an error: one request must not take others with it.
func guarded(serve func() error) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			panic(p) // somebody wants the connection cut
		default:
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return serve()
}

// routes answers what no pattern matches with a problem too.
func (h *Host) routes(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		started := time.Now()
		h.lastAnswer(w.Header())
		refusal := &headOnly{header: w.Header()}
		mux.ServeHTTP(refusal, r) // says whether it is 404 or 405, and what is allowed
		w.Header().Del("X-Content-Type-Options")
		WriteProblem(w, Problem{Status: refusal.status, Title: strings.ToLower(http.StatusText(refusal.status)), Instance: OperationOf(r).ID})
		h.meters.request("other", method(r), refusal.status, time.Since(started))
	})
}

// method is a label with few values, whatever a client sends.
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	default:
		return "_OTHER"
	}
}

// headOnly takes an answer without its body.
type headOnly struct {
	header http.Header
	status int
}

func (w *headOnly) Header() http.Header         { return w.header }
func (w *headOnly) Write(b []byte) (int, error) { return len(b), nil }
func (w *headOnly) WriteHeader(status int)      { w.status = status }

// statusWriter remembers the status, for metrics and to know whether it is out.
type statusWriter struct {
	http.ResponseWriter
	status int // 0: nothing has been sent
}

// WriteHeader remembers status.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write remembers the status that it implies.
func (w *statusWriter) Write(b []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
