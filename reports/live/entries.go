package live

import (
	"net/http"
	"strconv"
	"sync"

	"squall/runner/record"
)

// Entries is the main stream of a record as it grows, as server-sent events
// without a name. Their ids are the numbers of the entries, and a stream is
// resumed by Last-Event-ID; "end" is the last event. It reads nothing else of the
// record, so it has no more to do however long that is.
type Entries struct {
	watchers
	dir string

	mu  sync.Mutex
	run *record.Run
}

// NewEntries returns the entries of a run directory, which need not be there yet.
func NewEntries(dir string) *Entries { return &Entries{watchers: newWatchers(), dir: dir} }

func (e *Entries) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	next := 0
	if last, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 32); err == nil {
		next = int(last) + 1
	}
	e.serve(w, r, func(s *stream, _ bool) (bool, error) {
		entries, ended, err := e.look(next)
		if err != nil {
			return false, nil // not begun, or a line half written: later
		}
		for _, entry := range entries {
			if err := s.send("", strconv.FormatUint(entry.Seq, 10), entry); err != nil {
				return false, err
			}
			next++
		}
		return ended, nil
	})
}

// look reads on in the record and returns the entries from a number on.
func (e *Entries) look(from int) (entries []record.Entry, ended bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.run == nil {
		e.run, err = record.OpenMain(e.dir)
	} else {
		err = e.run.Refresh()
	}
	if err != nil {
		return nil, false, err
	}
	if n := len(e.run.Entries); from < n {
		entries = e.run.Entries[from:n:n]
	}
	return entries, e.run.End != nil, nil
}
