package process

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"

	"squall/faults"
	"squall/runner/targets"
)

// The control API of the supervisor, on loopback, with a bearer token:
//
//	GET  /v1/services               states by name
//	POST /v1/services/{name}/start  starts if not running, answers once ready
//	POST /v1/services/{name}/signal body signalRequest; 410: no such process
//	GET  /v1/events                 NDJSON of targets.Event from now on
//	POST /v1/renew                  heartbeat
//	POST /v1/down                   answers when all has ended
//
// Errors are {"error": text}.
type control struct {
	token string
	keep  *keeper
	renew func()
	down  func(context.Context) error // asks for the end and waits for it
}

type signalRequest struct {
	ID     faults.ProcessID `json:"id"`
	Signal string           `json:"signal"`
}

type failure struct {
	Error string `json:"error"`
}

func (c *control) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/services", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, c.keep.states(), nil)
	})
	mux.HandleFunc("POST /v1/services/{name}/start", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, c.keep.start(r.Context(), r.PathValue("name")))
	})
	mux.HandleFunc("POST /v1/services/{name}/signal", c.signal)
	mux.HandleFunc("GET /v1/events", c.events)
	mux.HandleFunc("POST /v1/renew", func(w http.ResponseWriter, _ *http.Request) {
		c.renew()
		answer(w, nil, nil)
	})
	mux.HandleFunc("POST /v1/down", func(w http.ResponseWriter, r *http.Request) {
		answer(w, nil, c.down(r.Context()))
	})
	return c.guard(mux)
}

// guard lets nobody in without the token.
func (c *control) guard(next http.Handler) http.Handler {
	want := []byte("Bearer " + c.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *control) signal(w http.ResponseWriter, r *http.Request) {
	var req signalRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&req); err != nil {
		answer(w, nil, err)
		return
	}
	answer(w, nil, c.keep.signal(r.PathValue("name"), req.ID, req.Signal))
}

// events streams until the reader leaves or the environment has ended. The
// header goes out at once: when the caller has it, nothing is missed any more.
func (c *control) events(w http.ResponseWriter, r *http.Request) {
	f := c.keep.events.subscribe()
	defer c.keep.events.unsubscribe(f)
	flush := http.NewResponseController(w).Flush
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	out := json.NewEncoder(w)
	for flush() == nil {
		var ev targets.Event
		var more bool
		select {
		case ev, more = <-f.ch:
		case <-r.Context().Done():
		}
		if !more || out.Encode(ev) != nil {
			return
		}
	}
}

func answer(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case errors.Is(err, faults.ErrNotRunning):
		w.WriteHeader(http.StatusGone)
	case errors.Is(err, errNoService):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	if err != nil {
		body = failure{err.Error()}
	}
	_ = json.NewEncoder(w).Encode(body) // a caller that left needs no answer
}
