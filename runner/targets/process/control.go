package process

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"squall/faults"
	"squall/runner/targets"
)

// The control API of the supervisor, on loopback, with a bearer token:
//
//	GET  /v1/services               states by name
//	POST /v1/services/{name}/start  starts if not running, answers once ready
//	POST /v1/services/{name}/signal body signalRequest; 410: no such process
//	PUT  /v1/services/{name}/holds/{id} body faults.Hold; answers once it is in force
//	GET  same path                  faults.Evidence
//	DELETE same path                answers once it is undone; idempotent
//	GET  /v1/facts                  what faults may change besides processes, by name
//	GET  /v1/events                 NDJSON of targets.Event from now on
//	POST /v1/renew                  heartbeat, body heartbeat: for the environment and the holds of its owner
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

type heartbeat struct {
	Owner string        `json:"owner"`
	Lease time.Duration `json:"lease"` // nanoseconds
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
	mux.HandleFunc("PUT /v1/services/{name}/holds/{id}", c.hold)
	mux.HandleFunc("GET /v1/services/{name}/holds/{id}", func(w http.ResponseWriter, r *http.Request) {
		e, err := c.keep.holdStatus(r.Context(), r.PathValue("name"), r.PathValue("id"))
		answer(w, e, err)
	})
	mux.HandleFunc("DELETE /v1/services/{name}/holds/{id}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := whole(r)
		defer cancel()
		answer(w, nil, c.keep.unhold(ctx, r.PathValue("name"), r.PathValue("id")))
	})
	mux.HandleFunc("GET /v1/facts", func(w http.ResponseWriter, r *http.Request) {
		answer(w, c.keep.facts(r.Context()), nil)
	})
	mux.HandleFunc("GET /v1/events", c.events)
	mux.HandleFunc("POST /v1/renew", func(w http.ResponseWriter, r *http.Request) {
		var beat heartbeat
		err := decode(w, r, &beat)
		if err == nil {
			c.renew()
			c.keep.renewHolds(beat.Owner, beat.Lease)
		}
		answer(w, nil, err)
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

func decode(w http.ResponseWriter, r *http.Request, into any) error {
	return json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(into)
}

// whole is for what must not stop half-way because its caller died.
func whole(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), holdWithin)
}

func (c *control) hold(w http.ResponseWriter, r *http.Request) {
	var h faults.Hold
	if err := decode(w, r, &h); err != nil {
		answer(w, nil, err)
		return
	}
	ctx, cancel := whole(r)
	defer cancel()
	answer(w, nil, c.keep.hold(ctx, r.PathValue("name"), r.PathValue("id"), h))
}

func (c *control) signal(w http.ResponseWriter, r *http.Request) {
	var req signalRequest
	if err := decode(w, r, &req); err != nil {
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
