package service

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// listen opens the business listener and, if asked for, that of operations,
// which stays plain and apart: it must answer when business traffic is refused.
func (h *Host) listen() (err error) {
	if h.listener, err = net.Listen("tcp", h.Listen); err != nil {
		return err
	}
	if h.Ops == "" {
		return nil
	}
	if h.opsListener, err = net.Listen("tcp", h.Ops); err != nil {
		_ = h.listener.Close() // the other error says why
		return err
	}
	return nil
}

// Addr is where the host listens for business traffic.
func (h *Host) Addr() string { return h.listener.Addr().String() }

// OpsAddr is where the host answers /livez, /readyz, /metrics and /audit.
func (h *Host) OpsAddr() string {
	if h.opsListener == nil {
		return h.Addr()
	}
	return h.opsListener.Addr().String()
}

// server is an HTTP server with the listener it serves.
type server struct {
	*http.Server
	listener net.Listener
}

func (s server) serve() error {
	if s.TLSConfig != nil {
		return s.ServeTLS(s.listener, "", "")
	}
	return s.Serve(s.listener)
}

// servers are the business server and, if apart, that of operations.
func (h *Host) servers() []server {
	all := []server{{h.server(h.business), h.listener}}
	all[0].TLSConfig, all[0].ConnState = h.TLS, h.unused.track
	if h.opsListener != nil {
		all = append(all, server{h.server(h.ops), h.opsListener})
	}
	return all
}

func (h *Host) server(mux *http.ServeMux) *http.Server {
	return &http.Server{
		Handler:           h.routes(mux),
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       60 * time.Second, // longer than clients keep theirs: it is they who close
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(h.Logger.Handler(), slog.LevelWarn),
	}
}

// operational registers what is asked about a service, which passes shedding
// by: a full service must still be able to say so.
func (h *Host) operational() {
	h.ops.HandleFunc("GET /livez", h.health.handleLive)
	h.ops.HandleFunc("GET /readyz", h.handleReady)
	h.ops.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics, promhttp.HandlerOpts{}))
}
