package service

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Handler answers a request or returns an error. A Problem is sent as it is,
// anything else becomes a 500 whose cause is only logged.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Handle registers a business route, "POST /orders": bulkhead, operation id,
// metrics, log line.
func (h *Host) Handle(pattern string, serve Handler) {
	_, route, _ := strings.Cut(pattern, " ")
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		op := OperationOf(r)
		r = r.WithContext(WithOperation(r.Context(), op))
		if h.admit() {
			h.serve(sw, r, serve)
			h.leave()
		} else {
			shed(sw)
		}
		took := time.Since(started)
		h.requests.WithLabelValues(route, r.Method, strconv.Itoa(sw.status)).Observe(took.Seconds())
		h.Logger.Debug("request", "op", op.ID, "route", pattern, "status", sw.status, "took", took)
	})
}

// HandleBooks registers an audit endpoint, which is not business traffic.
func (h *Host) HandleBooks(pattern string, serve Handler) {
	h.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		h.serve(&statusWriter{ResponseWriter: w}, r, serve)
	})
}

func (h *Host) serve(w *statusWriter, r *http.Request, serve Handler) {
	err := serve(w, r)
	if err == nil {
		return
	}
	p := Problem{Status: http.StatusInternalServerError, Title: "internal error"}
	if !errors.As(err, &p) {
		h.Logger.Error("request failed", "op", OperationFrom(r.Context()).ID, "path", r.URL.Path, "error", err)
	}
	WriteProblem(w, p)
}

// statusWriter remembers the status for metrics.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
