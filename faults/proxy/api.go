package proxy

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"squall/faults"
)

const (
	maxBody    = 16 << 20
	wireFlush  = 20 * time.Millisecond
	apiVersion = "2.12.0" // of Toxiproxy's API
)

// apiError is an error as Toxiproxy's API shows it.
type apiError struct {
	Message string `json:"error"`
	Status  int    `json:"status"`
}

func (e *apiError) Error() string { return e.Message }

func badRequest(err error) error { return &apiError{err.Error(), http.StatusBadRequest} }

// answer is a handler that returns what it answers: a status, and a body to
// send as JSON unless it is nil.
type answer func(r *http.Request) (status int, body any, err error)

func (a answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	status, body, err := a(r)
	if err != nil {
		e := &apiError{err.Error(), http.StatusInternalServerError}
		switch {
		case errors.As(err, &e):
		case errors.Is(err, faults.ErrNoStage):
			e.Status = http.StatusNotFound
		}
		status, body = e.Status, e
	}
	if body == nil {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) // fails only when the client has left
}

func decode(r *http.Request, into any) error {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		return badRequest(fmt.Errorf("bad request body: %w", err))
	}
	return nil
}

// handler routes Toxiproxy's API (toxiproxy.go) and ours.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	s.routeToxiproxy(mux)
	mux.Handle("GET /squall/v1/stages", answer(s.listStages))
	mux.Handle("PUT /squall/v1/proxies/{proxy}/stages/{id}", answer(s.putStage))
	mux.Handle("GET /squall/v1/proxies/{proxy}/stages/{id}", answer(s.getStage))
	mux.Handle("DELETE /squall/v1/proxies/{proxy}/stages/{id}", answer(s.deleteStage))
	mux.Handle("GET /squall/v1/proxies/{proxy}/sources", answer(s.listSources))
	mux.Handle("POST /squall/v1/owners/{owner}/lease", answer(s.renewOwner))
	mux.Handle("DELETE /squall/v1/owners/{owner}", answer(s.deleteOwner))
	mux.HandleFunc("GET /squall/v1/wire", s.streamWire)

	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collector{s}, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	return s.refuseStrangers(refuseBrowsers(mux))
}

// refuseStrangers lets nobody in without the token; who only asks whether the
// server lives needs none.
func (s *Server) refuseStrangers(next http.Handler) http.Handler {
	want := []byte("Bearer " + s.opts.Token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opts.Token != "" && r.URL.Path != "/version" && subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			http.Error(w, `{"error":"unauthorized","status":401}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuseBrowsers keeps pages that a browser shows from driving the API.
func refuseBrowsers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.UserAgent(), "Mozilla/") {
			http.Error(w, "user agent not allowed", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) listStages(*http.Request) (int, any, error) {
	list := []faults.StageStatus{}
	for _, l := range s.all() {
		for _, st := range l.current().stages {
			list = append(list, l.statusOf(st))
		}
	}
	return http.StatusOK, list, nil
}

func (s *Server) putStage(r *http.Request) (int, any, error) {
	l, err := s.link(r.PathValue("proxy"))
	if err != nil {
		return 0, nil, err
	}
	var st faults.Stage
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&st); err != nil {
		return 0, nil, badRequest(fmt.Errorf("decode stage: %w", err))
	}
	status, err := l.put(r.Context(), r.PathValue("id"), st)
	return http.StatusOK, status, err
}

func (s *Server) getStage(r *http.Request) (int, any, error) {
	l, err := s.link(r.PathValue("proxy"))
	if err != nil {
		return 0, nil, err
	}
	status, err := l.status(r.PathValue("id"))
	return http.StatusOK, status, err
}

func (s *Server) deleteStage(r *http.Request) (int, any, error) {
	l, err := s.link(r.PathValue("proxy"))
	if err != nil {
		return http.StatusNoContent, nil, nil // with the proxy its stages are gone
	}
	_, err = l.remove(r.Context(), hasID(r.PathValue("id")))
	return http.StatusNoContent, nil, err
}

// renewal is the body of a lease request.
type renewal struct {
	TTL time.Duration `json:"ttl"` // nanoseconds
}

// count is the answer to a request for all stages of an owner.
type count struct {
	Stages int `json:"stages"`
}

func (s *Server) renewOwner(r *http.Request) (int, any, error) {
	var body renewal
	if err := decode(r, &body); err != nil {
		return 0, nil, err
	}
	if body.TTL <= 0 {
		return 0, nil, badRequest(fmt.Errorf("ttl %v is not positive", body.TTL))
	}
	var n count
	for _, l := range s.all() {
		n.Stages += l.renew(r.PathValue("owner"), body.TTL)
	}
	return http.StatusOK, n, nil
}

func (s *Server) deleteOwner(r *http.Request) (int, any, error) {
	n, err := s.removeOwner(r.Context(), r.PathValue("owner"))
	return http.StatusOK, count{n}, err
}

func (s *Server) removeOwner(ctx context.Context, owner string) (n int, err error) {
	var errs []error
	for _, l := range s.all() {
		removed, err := l.remove(ctx, ownedBy(owner))
		n += removed
		errs = append(errs, err)
	}
	return n, errors.Join(errs...)
}

// streamWire sends the wire log from now on, in batches of at most 20 ms.
func (s *Server) streamWire(w http.ResponseWriter, r *http.Request) {
	reader := s.wire.subscribe()
	defer s.wire.unsubscribe(reader)
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	if flush.Flush() != nil {
		return
	}
	tick := time.NewTicker(wireFlush)
	defer tick.Stop()
	enc, dirty := json.NewEncoder(w), false
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-reader.lines:
			if !ok {
				reader.tellDropped(w)
				return
			}
			if enc.Encode(e) != nil {
				return
			}
			dirty = true
		case <-tick.C:
			if dirty = reader.tellDropped(w) || dirty; !dirty {
				continue
			}
			if flush.Flush() != nil {
				return
			}
			dirty = false
		}
	}
}

// tellDropped writes how many lines the reader lost since it was last told.
func (r *wireReader) tellDropped(w io.Writer) bool {
	n := r.dropped.Swap(0)
	if n > 0 {
		fmt.Fprintf(w, "{\"dropped\":%d}\n", n)
	}
	return n > 0
}
