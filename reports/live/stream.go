package live

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	lookEvery   = 200 * time.Millisecond // at the record, for what is new
	quietFor    = 10 * time.Second       // until a sign of life is sent
	writeWithin = 2 * time.Second        // a watcher that does not read for longer is left behind
	closeWithin = time.Second            // for the last words to all watchers
)

// watchers are those who follow a run.
type watchers struct {
	over chan struct{}
	once sync.Once
	all  sync.WaitGroup
}

func newWatchers() watchers { return watchers{over: make(chan struct{})} }

// Close tells all watchers how it ended, and ends their streams. It waits a
// second at most: whoever watches never keeps a run from ending.
func (ws *watchers) Close() {
	ws.once.Do(func() { close(ws.over) })
	gone := make(chan struct{})
	go func() { ws.all.Wait(); close(gone) }() // ends with the watchers, whose writes have deadlines
	select {
	case <-gone:
	case <-time.After(closeWithin):
	}
}

// serve streams to one watcher until the run has ended, or the watcher has gone.
// tell sends what is new; final asks it for all there is.
func (ws *watchers) serve(w http.ResponseWriter, r *http.Request, tell func(s *stream, final bool) (ended bool, err error)) {
	ws.all.Add(1)
	defer ws.all.Done()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s := &stream{w: w, c: http.NewResponseController(w)}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for over := false; ; {
		ended, err := tell(s, over)
		if err != nil || s.alive() != nil {
			return
		}
		if over {
			_ = s.send("end", "", struct{}{})
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ws.over:
			over = true
		case <-tick.C:
			over = ended
		}
	}
}

// stream is one watcher.
type stream struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	quiet time.Time // since when nothing was sent
}

func (s *stream) send(event, id string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text := ""
	if event != "" {
		text = "event: " + event + "\n"
	}
	if id != "" {
		text += "id: " + id + "\n"
	}
	return s.write(fmt.Sprintf("%sdata: %s\n\n", text, data))
}

// alive keeps a quiet connection from being taken for a dead one.
func (s *stream) alive() error {
	if time.Since(s.quiet) < quietFor {
		return nil
	}
	return s.write(": still here\n\n")
}

func (s *stream) write(text string) error {
	s.quiet = time.Now()
	_ = s.c.SetWriteDeadline(time.Now().Add(writeWithin)) // not all servers have deadlines
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.c.Flush()
}
