// Package live serves the report of a run while it goes on: the same page,
// rendered anew as the record grows. It is a reader of the record like any other,
// and nothing waits for those who watch.
package live

import (
	"context"
	"net/http"
	"sync"
	"time"

	"squall/reports"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

const (
	renderEvery = time.Second // at most
	renderShare = 20          // of its time a processor may render: one part in so many
)

// Options of a page. Without Judge the page has no verdict until it is over.
type Options struct {
	Scenario *spec.Scenario
	System   *spec.System
	Judge    func(context.Context, *record.Run) verdict.Result
}

// Page is one run as it goes on: GET / is the report as it stands, GET /events
// what is new, as server-sent events: "section" is a part of the page, {"id",
// "html"}; "end" is the last one.
type Page struct {
	watchers
	dir string
	o   Options
	mux *http.ServeMux

	mu       sync.Mutex
	run      *record.Run
	sections []reports.Section
	rendered time.Time // when the next may be
	whole    bool      // sections are of the run as it ended
}

// New returns the page of a run directory, which need not be there yet.
func New(dir string, o Options) *Page {
	p := &Page{watchers: newWatchers(), dir: dir, o: o, mux: http.NewServeMux()}
	p.mux.HandleFunc("GET /{$}", p.page)
	p.mux.HandleFunc("GET /events", p.events)
	return p
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

func (p *Page) refresh() (err error) {
	if p.run != nil {
		return p.run.Refresh()
	}
	p.run, err = record.Open(p.dir)
	return err
}

// render returns the parts of the page. They are made anew no more often than is
// cheap, and always once the run has ended.
func (p *Page) render(ctx context.Context, final bool) (sections []reports.Section, ended bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		return nil, false, err
	}
	ended = p.run.End != nil
	if p.whole || (p.sections != nil && !ended && !final && time.Now().Before(p.rendered)) {
		return p.sections, ended, nil
	}
	began := time.Now()
	in := reports.Input{Run: p.run, Scenario: p.o.Scenario, System: p.o.System, Result: p.result(ctx)}
	sections, err = reports.Sections(in)
	if err != nil {
		return nil, false, err
	}
	took := time.Since(began)
	p.sections, p.whole = sections, ended
	p.rendered = time.Now().Add(max(renderEvery, renderShare*took))
	return sections, ended, nil
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
	sections, _, err := p.render(r.Context(), false)
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
	shown := map[string]string{}
	p.serve(w, r, func(s *stream, final bool) (bool, error) {
		sections, ended, err := p.render(r.Context(), final)
		if err != nil {
			return false, nil // not begun, or a line half written: later
		}
		for _, part := range sections {
			if shown[part.ID] == part.HTML {
				continue
			}
			if err := s.send("section", "", part); err != nil {
				return false, err
			}
			shown[part.ID] = part.HTML
		}
		return ended, nil
	})
}
