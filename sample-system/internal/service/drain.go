// Draining at SIGTERM.
//
// Answers: a rolling restart under load. First the instance says that it wants
// no more traffic (not ready, OnDrain: out of the registry), then it goes on
// serving until its clients have noticed, telling each with its answer to close
// the connection; only then does it stop to listen, and waits for what is in
// flight. Tasks end last: requests in flight need them.
// Numbers: clients watch the registry and notice within some 10 ms, on a machine
// that is overloaded much later; so it serves on for 400 ms, and then until nobody
// has asked for 100 ms, but not beyond 1.2 s. Hooks have 400 ms, requests in flight
// the rest of 2.5 s, below the supervisor's usual 3 s of patience before
// SIGKILL. Nobody waits for clients of a service that has no hooks: then there
// is nothing that they could notice.
// Costs: a restart takes half a second longer, or a whole one.
// Breaks without it: scenario rolling-restart, TestDrain, TestDrainUntilClientsNotice. Off switch: D38, cuts
// off connections at once and tells nobody.

package service

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"squall/sample-system/internal/defect"
)

const (
	drainTime = 2500 * time.Millisecond
	hookTime  = 400 * time.Millisecond
	shortDuck = 400 * time.Millisecond
	longDuck  = 1200 * time.Millisecond
	quiet     = 100 * time.Millisecond

	unusedTime = 100 * time.Millisecond
)

// OnDrain registers what is to happen first at SIGTERM, such as leaving the
// registry. Its context ends after 400 ms; waiting for clients to notice is the
// host's business.
func (h *Host) OnDrain(f func(ctx context.Context)) { h.onDrain = append(h.onDrain, f) }

func (h *Host) drain(server *http.Server) {
	if h.Defects.Has(defect.NoDrain) {
		_ = server.Close() // that requests fail is the point
		return
	}
	h.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if len(h.onDrain) > 0 {
		h.leave(ctx)
	}
	if err := h.shutdown(ctx, server); err != nil {
		h.Logger.Warn("requests still in flight after draining", "error", err)
		_ = server.Close() // only repeats what Shutdown said
	}
}

// leave tells the others, and serves on until they have noticed.
func (h *Host) leave(ctx context.Context) {
	hooks, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	for _, f := range h.onDrain {
		f(hooks)
	}
	if h.Alone {
		return
	}
	told := time.Now()
	tick := time.NewTicker(quiet / 4)
	defer tick.Stop()
	for !h.noticed(told) {
		<-tick.C
	}
}

// noticed reports whether the clients no longer come here, or never will stop to.
func (h *Host) noticed(told time.Time) bool {
	waited := time.Since(told)
	return waited >= longDuck || waited >= shortDuck && time.Since(time.Unix(0, h.asked.Load())) >= quiet
}

// shutdown waits for requests in flight. A connection that was opened and not
// used yet, as clients do for their pool, counts as one for 5 s in net/http; we
// give it a moment for its first request.
func (h *Host) shutdown(ctx context.Context, server *http.Server) error {
	done := make(chan error, 1)
	go func() { done <- server.Shutdown(ctx) }()
	tick := time.NewTicker(unusedTime / 4)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			h.unused.closeOlder(unusedTime)
		}
	}
}

// unusedConns are connections without a request so far, by when they came.
type unusedConns struct {
	mu    sync.Mutex
	since map[net.Conn]time.Time
}

// track is the server's ConnState.
func (u *unusedConns) track(c net.Conn, state http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if state != http.StateNew {
		delete(u.since, c)
		return
	}
	if u.since == nil {
		u.since = map[net.Conn]time.Time{}
	}
	u.since[c] = time.Now()
}

func (u *unusedConns) closeOlder(age time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c, since := range u.since {
		if time.Since(since) > age {
			_ = c.Close() // nobody has asked anything on it
		}
	}
}

// lastAnswer has the client close its connection after this answer, so that it
// comes back elsewhere and not on a connection that is about to end.
func (h *Host) lastAnswer(header http.Header) {
	if h.draining.Load() {
		h.asked.Store(time.Now().UnixNano())
		header.Set("Connection", "close")
	}
}
