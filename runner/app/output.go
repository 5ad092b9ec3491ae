package app

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"squall/reports"
)

// writeReports writes every format beside the record.
func writeReports(in reports.Input) error {
	dir := in.Run.Dir
	in.Digest = reports.Digested(in)
	return errors.Join(
		reports.SaveDigest(dir, in.Digest),
		writeJSON(filepath.Join(dir, "verdict.json"), in.Result),
		writeFile(filepath.Join(dir, "report.html"), func(w io.Writer) error { return reports.HTML(w, in) }),
		writeFile(filepath.Join(dir, "summary.md"), func(w io.Writer) error { return reports.Markdown(w, in) }),
		writeFile(filepath.Join(dir, "junit.xml"), func(w io.Writer) error {
			return reports.RunJUnit(w, in, reports.JUnitOptions{})
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

func writeJUnit(path string, all []reports.Scenario) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeFile(path, func(w io.Writer) error { return reports.JUnit(w, all, reports.JUnitOptions{}) })
}

// finishSuite writes the index of a suite and points "latest" at it.
func finishSuite(out, suite, history string, outcomes []*outcome) error {
	all := scenariosOf(outcomes)
	past, err := addHistory(history, all)
	err = errors.Join(err, writeFile(filepath.Join(suite, "index.html"), func(w io.Writer) error {
		return reports.Index(w, all, past)
	}))
	// A convenience: another suite may be moving it at this moment.
	fresh := suite + ".latest"
	if os.Symlink(filepath.Base(suite), fresh) == nil {
		_ = os.Rename(fresh, filepath.Join(out, "latest"))
	}
	return err
}

// addHistory adds a suite to the history, where one is kept, and reads all of it.
func addHistory(path string, all []reports.Scenario) ([]reports.Past, error) {
	if path == "" {
		return nil, nil
	}
	if err := reports.AppendHistory(path, all); err != nil {
		return nil, err
	}
	return reports.ReadHistory(path)
}

// final prints the final block of one run.
func (r *oneRun) final(in reports.Input) {
	if r.output == "json" {
		_ = writeJSONLine(r.Stdout, map[string]any{"run": r.dir, "result": in.Result})
		return
	}
	reports.Final(r.Stdout, in, reports.TextOptions{Color: r.colour(), ReportPath: filepath.Join(r.dir, "report.html")})
}
