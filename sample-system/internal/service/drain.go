// Draining at SIGTERM.
//
// Answers: a rolling restart under load. First the instance says that it wants
// no more traffic (not ready, OnDrain: out of the registry), then it goes on
// serving until its clients have noticed, telling each with its answer to close
// the connection; only then does it stop to listen, and waits for what is in
// flight. Tasks end last: requests in flight need them.
// Numbers: clients watch the registry and notice within some 10 ms; 400 ms is
// long enough on a machine that is busy. Hooks have 400 ms, requests in flight
// the rest of 2.5 s, below the supervisor's usual 3 s of patience before
// SIGKILL. Nobody waits for clients of a service that has no hooks: then there
// is nothing that they could notice.
// Costs: a restart takes half a second longer.
// Breaks without it: TestDrain. Off switch: D38, cuts
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
	lameDuck  = 400 * time.Millisecond

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

// leave tells the others, and gives them time.
func (h *Host) leave(ctx context.Context) {
	hooks, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	for _, f := range h.onDrain {
		f(hooks)
	}
	pause, cancel := context.WithTimeout(ctx, lameDuck)
	defer cancel()
	<-pause.Done()
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
		header.Set("Connection", "close")
	}
}
