package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"squall/reports"
	"squall/runner/record"
)

// writeReports writes every format beside the record.
func writeReports(in reports.Input) error {
	dir := in.Run.Dir
	return errors.Join(
		writeJSON(filepath.Join(dir, "verdict.json"), in.Result),
		writeFile(filepath.Join(dir, "report.html"), func(w io.Writer) error { return reports.HTML(w, in) }),
		writeFile(filepath.Join(dir, "summary.md"), func(w io.Writer) error { return reports.Markdown(w, in) }),
		writeFile(filepath.Join(dir, "junit.xml"), func(w io.Writer) error {
			return reports.JUnit(w, []reports.Input{in}, reports.JUnitOptions{})
		}),
	)
}

func writeFile(path string, fill func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := fill(f); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), f.Close())
	}
	return f.Close()
}

func writeJUnit(path string, outcomes []*outcome) error {
	var ins []reports.Input
	for _, o := range outcomes {
		if o.report.Run != nil {
			ins = append(ins, o.report)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error { return reports.JUnit(w, ins, reports.JUnitOptions{}) })
}

// finishSuite writes the index of a suite and points "latest" at it.
func finishSuite(out, suite string, outcomes []*outcome) error {
	err := writeFile(filepath.Join(suite, "index.html"), func(w io.Writer) error {
		return reports.Index(w, summaries(outcomes))
	})
	// A convenience: another suite may be moving it at this moment.
	fresh := suite + ".latest"
	if os.Symlink(filepath.Base(suite), fresh) == nil {
		_ = os.Rename(fresh, filepath.Join(out, "latest"))
	}
	return err
}

// final prints the final block of one run.
func (r *oneRun) final(in reports.Input) {
	if r.output == "json" {
		_ = writeJSONLine(r.Stdout, map[string]any{"run": r.dir, "result": in.Result})
		return
	}
	reports.Final(r.Stdout, in, reports.TextOptions{Color: r.colour(), ReportPath: filepath.Join(r.dir, "report.html")})
}

// lookAt is how often the terminal reads the record.
const lookAt = 100 * time.Millisecond

// follow prints the record as it grows until the returned function is called.
func (a *app) follow(dir, name string, alone bool) (stop func()) {
	t := &terminal{app: a, dir: dir, name: name, done: make(chan struct{}), ended: make(chan struct{})}
	if !alone {
		t.prefix = name + "  "
	}
	t.status = alone && a.live()
	go t.loop()
	return func() {
		close(t.done)
		<-t.ended
	}
}

// terminal is a reader of the record like any other.
type terminal struct {
	*app
	dir, name   string
	prefix      string
	status      bool // one live line below the events
	run         *record.Run
	shown       int
	done, ended chan struct{}
}

func (t *terminal) loop() {
	defer close(t.ended)
	tick := time.NewTicker(lookAt)
	defer tick.Stop()
	for {
		select {
		case <-t.done:
			t.show()
			t.clear()
			return
		case <-tick.C:
			t.show()
		}
	}
}

func (t *terminal) show() {
	if t.run == nil {
		run, err := record.Open(t.dir)
		if err != nil {
			return // the header is not there yet
		}
		t.run = run
	} else if err := t.run.Refresh(); err != nil {
		return // judged, and reported, when the run is over
	}
	for ; t.shown < len(t.run.Entries); t.shown++ {
		t.entry(t.run.Entries[t.shown])
	}
	if t.status {
		t.clear()
		fmt.Fprint(t.Stdout, reports.Status(t.run, time.Since(t.run.Header.Started)))
	}
}

func (t *terminal) entry(e record.Entry) {
	if t.output == "json" {
		_ = writeJSONLine(t.Stdout, struct {
			Run string `json:"run"`
			record.Entry
		}{t.name, e})
		return
	}
	if line := reports.Event(e, t.colour()); line != "" {
		t.clear()
		fmt.Fprintln(t.Stdout, t.prefix+line)
	}
}

// clear wipes the live line.
func (t *terminal) clear() {
	if t.status {
		fmt.Fprint(t.Stdout, "\r\x1b[K")
	}
}
