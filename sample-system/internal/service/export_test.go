package service

import (
	"context"
	"net/http"
	"sync"
)

// RunTasks runs the background tasks of a host that does not listen.
func (h *Host) RunTasks(ctx context.Context) {
	var wg sync.WaitGroup
	for _, t := range h.tasks {
		wg.Go(func() { _ = t.run(ctx) })
	}
	wg.Wait()
}

// Serve answers a business request without a socket.
func (h *Host) Serve(w http.ResponseWriter, r *http.Request) {
	h.routes(h.business).ServeHTTP(w, r)
}

// Unused is the number of connections without a request so far.
func (h *Host) Unused() int {
	h.unused.mu.Lock()
	defer h.unused.mu.Unlock()
	return len(h.unused.since)
}
