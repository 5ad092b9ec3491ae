package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// Run is what has been read of a run directory so far.
type Run struct {
	Dir    string
	Header Header

	Entries    []Entry
	Phases     []Span
	Faults     []FaultEvent
	Processes  []ProcessEvent
	Loads      []LoadEvent
	Probes     []ProbeEvent
	Steps      []StepEvent
	Notes      []NoteEvent
	Marks      []MarkEvent
	Watches    []WatchEvent
	Scrapes    []Scrape
	Exchanges  []Exchange
	Operations []Operation
	Audit      []AuditRow
	Spans      []TraceSpan

	End  *End          // nil while the run goes on, or if it died
	Last time.Duration // T of the newest entry of the main stream

	// Gaps says what is missing from the record; a run with gaps cannot pass.
	Gaps []string

	tails   map[Stream]*tail
	checked bool // totals are compared once
}

// Span is one phase. While it goes on, To is the newest instant read.
type Span struct {
	Name     string
	From, To time.Duration
	Open     bool
}

// FaultEvent is a fault transition with its instant.
type FaultEvent struct {
	T time.Duration
	Fault
}

// ProcessEvent is a process event with its instant.
type ProcessEvent struct {
	T time.Duration
	Process
}

// LoadEvent is a load event with its instant.
type LoadEvent struct {
	T time.Duration
	Load
}

// ProbeEvent is a probe with the instant at which its answer was there.
type ProbeEvent struct {
	T time.Duration
	Probe
}

// Asked is the instant at which the probe was sent.
func (p ProbeEvent) Asked() time.Duration { return p.T - time.Duration(p.Took) }

// StepEvent is a state of a step with its instant.
type StepEvent struct {
	T time.Duration
	Step
}

// NoteEvent is a note with its instant.
type NoteEvent struct {
	T time.Duration
	Note
}

// MarkEvent is a mark with its instant.
type MarkEvent struct {
	T time.Duration
	Mark
}

// WatchEvent is a watch with its instant.
type WatchEvent struct {
	T time.Duration
	Watch
}

// Open reads a run directory, finished or not. Call Refresh to read on.
func Open(dir string) (*Run, error) {
	return open(dir, append([]Stream{Main}, bulk...)...)
}

// OpenMain reads the main stream alone, which is small however long the others
// are. Gaps in those it does not see.
func OpenMain(dir string) (*Run, error) { return open(dir, Main) }

func open(dir string, streams ...Stream) (*Run, error) {
	r := &Run{Dir: dir, tails: map[Stream]*tail{}}
	for _, s := range streams {
		r.tails[s] = &tail{path: path(dir, s), optional: s == Spans}
	}
	if err := r.Refresh(); err != nil {
		return nil, err
	}
	if len(r.Entries) == 0 {
		return nil, fmt.Errorf("record: %s: no header, not a run directory", dir)
	}
	return r, nil
}

// Refresh reads what has been appended since the last call.
func (r *Run) Refresh() error {
	if err := r.tails[Main].lines(r.entry); err != nil {
		return err
	}
	if len(r.tails) == 1 { // OpenMain
		return nil
	}
	var group sync.WaitGroup
	var errs [5]error // of the streams
	for i, stream := range []func() error{
		func() error { return read(r, Metrics, &r.Scrapes, nil) },
		func() error { return read(r, Wire, &r.Exchanges, names{}.exchange) },
		func() error { return read(r, Ops, &r.Operations, names{}.operation) },
		func() error { return read(r, Audit, &r.Audit, nil) },
		func() error { return read(r, Spans, &r.Spans, nil) },
	} {
		group.Go(func() { errs[i] = stream() })
	}
	group.Wait()
	return errors.Join(errors.Join(errs[:]...), r.checkTotals())
}

func (r *Run) entry(line []byte) error {
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if n := len(r.Entries); n == 0 && e.Seq != 0 {
		r.Gaps = append(r.Gaps, fmt.Sprintf("entry %d is the first", e.Seq))
	} else if n > 0 && e.Seq != r.Entries[n-1].Seq+1 {
		r.Gaps = append(r.Gaps, fmt.Sprintf("entry %d follows entry %d", e.Seq, r.Entries[n-1].Seq))
	}
	r.Entries = append(r.Entries, e)
	r.Last = max(r.Last, e.T)
	if n := len(r.Phases); n > 0 && r.Phases[n-1].Open {
		r.Phases[n-1].To = r.Last
	}
	return r.dispatch(e)
}

func (r *Run) dispatch(e Entry) error {
	switch e.Type {
	case TypeHeader:
		if err := json.Unmarshal(e.Data, &r.Header); err != nil {
			return err
		}
		if r.Header.Format != FormatVersion {
			return fmt.Errorf("format %d, this program reads format %d", r.Header.Format, FormatVersion)
		}
		for _, name := range []string{r.Header.Input, r.Header.System} {
			if name != "" && !filepath.IsLocal(filepath.FromSlash(name)) {
				return fmt.Errorf("header: %q is not in the run directory", name)
			}
		}
	case TypePhase:
		var p Phase
		if err := json.Unmarshal(e.Data, &p); err != nil {
			return err
		}
		r.phase(e.T, p)
	case TypeFault:
		v := FaultEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Fault); err != nil {
			return err
		}
		r.Faults = append(r.Faults, v)
	case TypeProcess:
		v := ProcessEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Process); err != nil {
			return err
		}
		r.Processes = append(r.Processes, v)
	case TypeLoad:
		v := LoadEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Load); err != nil {
			return err
		}
		r.Loads = append(r.Loads, v)
	case TypeProbe:
		v := ProbeEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Probe); err != nil {
			return err
		}
		r.Probes = append(r.Probes, v)
	case TypeStep:
		v := StepEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Step); err != nil {
			return err
		}
		r.Steps = append(r.Steps, v)
	case TypeMark:
		v := MarkEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Mark); err != nil {
			return err
		}
		r.Marks = append(r.Marks, v)
	case TypeWatch:
		v := WatchEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Watch); err != nil {
			return err
		}
		r.Watches = append(r.Watches, v)
	case TypeNote:
		v := NoteEvent{T: e.T}
		if err := json.Unmarshal(e.Data, &v.Note); err != nil {
			return err
		}
		r.Notes = append(r.Notes, v)
	case TypeEnd:
		r.End = &End{}
		return json.Unmarshal(e.Data, r.End)
	}
	return nil // types of later formats stay in Entries
}

func (r *Run) phase(t time.Duration, p Phase) {
	n := len(r.Phases)
	if p.Event == "start" {
		r.Phases = append(r.Phases, Span{Name: p.Name, From: t, To: t, Open: true})
		return
	}
	if n > 0 && r.Phases[n-1].Name == p.Name {
		r.Phases[n-1].To, r.Phases[n-1].Open = t, false
	}
}

// Phase returns the span of that name. "run" is everything from the start of
// the baseline to the end of the recovery: what the assertions may look at.
func (r *Run) Phase(name string) (Span, bool) {
	if name == "run" {
		return r.judged()
	}
	for _, p := range r.Phases {
		if p.Name == name {
			return p, true
		}
	}
	return Span{}, false
}

func (r *Run) judged() (Span, bool) {
	s := Span{Name: "run"}
	found := false
	for _, p := range r.Phases {
		if p.Name != "baseline" && p.Name != "fault" && p.Name != "recovery" {
			continue
		}
		if !found {
			s.From, found = p.From, true
		}
		s.To, s.Open = p.To, p.Open
	}
	return s, found
}

// T turns Unix nanoseconds of a bulk stream into time since run start.
func (r *Run) T(at int64) time.Duration { return time.Duration(at - r.Header.Started.UnixNano()) }

// Time turns time since run start into wall time, for PromQL.
func (r *Run) Time(t time.Duration) time.Time { return r.Header.Started.Add(t) }

// checkTotals compares the streams with what the end entry says they hold.
func (r *Run) checkTotals() error {
	if r.End == nil || r.checked {
		return nil
	}
	r.checked = true
	for _, s := range bulk {
		want, ok := r.End.Streams[s]
		if !ok && s == Spans {
			continue // a run of before there were any
		}
		if !ok {
			r.Gaps = append(r.Gaps, fmt.Sprintf("the end entry does not name stream %s", s))
			continue
		}
		if got := r.tails[s].n; got != want.Lines {
			r.Gaps = append(r.Gaps, fmt.Sprintf("stream %s holds %d lines of %d", s, got, want.Lines))
		}
		if want.Dropped > 0 {
			r.Gaps = append(r.Gaps, fmt.Sprintf("stream %s gave up %d lines", s, want.Dropped))
		}
	}
	return nil
}
