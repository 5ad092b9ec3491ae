// Package live serves the report of a run while it goes on: the same page,
// rendered anew as the record grows. It is a reader of the record like any other,
// and nothing waits for those who watch.
package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"squall/reports"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

const (
	lookEvery   = 200 * time.Millisecond // at the record, for new entries
	renderEvery = time.Second            // at most
	renderShare = 20                     // of its time a processor may render: one part in so many
	writeWithin = 2 * time.Second        // a watcher that does not read for longer is left behind
	closeWithin = time.Second            // for the last words to all watchers
)

// Options of a page. Without Judge the page has no verdict until it is over.
type Options struct {
	Scenario *spec.Scenario
	System   *spec.System
	Judge    func(context.Context, *record.Run) verdict.Result
}

// Page is one run as it goes on: GET / is the report as it stands, GET /events
// what is new, as server-sent events. Events without a name are the entries of
// the main stream, with their number as id, and are resumed by Last-Event-ID;
// "section" is a part of the page, {"id", "html"}; "end" is the last one.
type Page struct {
	dir  string
	o    Options
	mux  *http.ServeMux
	over chan struct{}
	once sync.Once
	all  sync.WaitGroup

	mu       sync.Mutex
	run      *record.Run
	sections []reports.Section
	rendered time.Time // when the next may be
	whole    bool      // sections are of the run as it ended
}

// New returns the page of a run directory, which need not be there yet.
func New(dir string, o Options) *Page {
	p := &Page{dir: dir, o: o, mux: http.NewServeMux(), over: make(chan struct{})}
	p.mux.HandleFunc("GET /{$}", p.page)
	p.mux.HandleFunc("GET /events", p.events)
	return p
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Close tells all watchers how it ended, and ends their streams. It waits a
// second at most: whoever watches never keeps a run from ending.
func (p *Page) Close() {
	p.once.Do(func() { close(p.over) })
	gone := make(chan struct{})
	go func() { p.all.Wait(); close(gone) }() // ends with the watchers, whose writes have deadlines
	select {
	case <-gone:
	case <-time.After(closeWithin):
	}
}

// look reads on in the record and returns the entries from a number on.
func (p *Page) look(from uint64) (entries []record.Entry, ended bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		return nil, false, err
	}
	if n := uint64(len(p.run.Entries)); from < n {
		entries = p.run.Entries[from:n:n]
	}
	return entries, p.run.End != nil, nil
}

func (p *Page) refresh() (err error) {
	if p.run != nil {
		return p.run.Refresh()
	}
	p.run, err = record.Open(p.dir)
	return err
}

// render returns the parts of the page. They are made anew no more often than is
// cheap, and always once the run has ended.
func (p *Page) render(ctx context.Context, final bool) ([]reports.Section, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		return nil, err
	}
	ended := p.run.End != nil
	if p.whole || (p.sections != nil && !ended && !final && time.Now().Before(p.rendered)) {
		return p.sections, nil
	}
	began := time.Now()
	in := reports.Input{Run: p.run, Scenario: p.o.Scenario, System: p.o.System, Result: p.result(ctx)}
	sections, err := reports.Sections(in)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	p.sections, p.whole = sections, ended
	p.rendered = time.Now().Add(max(renderEvery, renderShare*took))
	return sections, nil
}

func (p *Page) result(ctx context.Context) verdict.Result {
	r := verdict.Result{Verdict: verdict.Inconclusive}
	if p.o.Judge != nil {
		r = p.o.Judge(ctx, p.run)
	}
	if p.run.End == nil && r.Verdict == verdict.Inconclusive {
		r.Sentence = "inconclusive: the run goes on, and nothing is broken so far"
	}
	return r
}

func (p *Page) page(w http.ResponseWriter, r *http.Request) {
	sections, err := p.render(r.Context(), false)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the run has not begun: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	p.mu.Lock()
	header := p.run.Header
	p.mu.Unlock()
	_ = reports.LivePage(w, header, sections) // the watcher has gone
}

func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	p.all.Add(1)
	defer p.all.Done()
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	s := &stream{w: w, c: http.NewResponseController(w), shown: map[string]string{}}
	if last, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64); err == nil {
		s.next = last + 1
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		ended, err := p.tell(r.Context(), s, false)
		if err != nil {
			return
		}
		over := false
		select {
		case <-r.Context().Done():
			return
		case <-p.over:
			over = true
		case <-tick.C:
		}
		if ended || over {
			if _, err := p.tell(r.Context(), s, true); err == nil {
				_ = s.send("end", "", struct{}{})
			}
			return
		}
	}
}

// tell sends a watcher what it does not know yet.
func (p *Page) tell(ctx context.Context, s *stream, final bool) (ended bool, err error) {
	entries, ended, err := p.look(s.next)
	if err != nil {
		return false, s.comment() // not begun, or a line half written: later
	}
	for _, e := range entries {
		if err := s.send("", strconv.FormatUint(e.Seq, 10), e); err != nil {
			return false, err
		}
		s.next++
	}
	sections, err := p.render(ctx, final)
	if err != nil {
		return false, s.comment()
	}
	for _, part := range sections {
		if s.shown[part.ID] == part.HTML {
			continue
		}
		if err := s.send("section", "", part); err != nil {
			return false, err
		}
		s.shown[part.ID] = part.HTML
	}
	return ended, s.comment()
}

// stream is one watcher.
type stream struct {
	w     http.ResponseWriter
	c     *http.ResponseController
	next  uint64            // entry
	shown map[string]string // part of the page
	quiet time.Time         // since when nothing was sent
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

// comment keeps a quiet connection alive.
func (s *stream) comment() error {
	if time.Since(s.quiet) < 10*time.Second {
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
