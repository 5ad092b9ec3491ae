package app

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"squall/reports"
	"squall/runner/record"
	"squall/runner/verdict"
)

// proveSaved proves by runs that are there, below the folders: the whole track
// record of a suite, from however many days and commands. What a run shows is
// judged by today's checks; one of an earlier form of its scenario shows nothing.
func (p *proving) proveSaved(ctx context.Context, ins []*input, dirs []string) error {
	p.taken = map[string]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() != "run.ndjson" {
				return err
			}
			return p.take(ctx, ins, filepath.Dir(path))
		})
		if err != nil {
			return usage("--from: %v", err)
		}
	}
	if len(p.outcomes) == 0 {
		return usage("--from: no run of these scenarios below %v", dirs)
	}
	return nil
}

// take adds a run to the outcomes if it is one of the scenarios as they are now.
func (p *proving) take(ctx context.Context, ins []*input, dir string) error {
	run, err := record.OpenMain(dir)
	if err != nil || run.End == nil || run.End.Reason == record.EndInterrupted {
		return nil // it shows nothing
	}
	i := slices.IndexFunc(ins, func(in *input) bool {
		return in.scenario.Metadata.Name == run.Header.Scenario && slices.Equal(words(run.Header.Defects...), in.plan.Defects) &&
			slices.Equal(words(run.Header.Switches...), words(in.plan.Switches...))
	})
	if i < 0 {
		return nil
	}
	now, err := os.ReadFile(ins[i].scenario.File)
	if err != nil {
		return err
	}
	id := fmt.Sprint(run.Header.Run, run.Header.Started.UnixNano())
	if p.taken[id] {
		return nil // a copy shows nothing more
	}
	p.taken[id] = true
	kept, err := os.ReadFile(filepath.Join(dir, "input", filepath.FromSlash(run.Header.Input)))
	if err != nil || !slices.Equal(uncommented(now), uncommented(kept)) {
		p.earlier++
		return nil
	}
	o, err := rejudged(ctx, ins[i], dir)
	if err == nil {
		p.outcomes = append(p.outcomes, o)
	}
	return err
}

// uncommented are the lines of a file that say something to squall.
func uncommented(text []byte) []string {
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return line == "" || line[0] == '#'
	})
}

// rejudged is a saved run by today's checks, on the system it was made on.
func rejudged(ctx context.Context, in *input, dir string) (*outcome, error) {
	run, sc, sys, err := saved(dir, "")
	if err != nil {
		return nil, err
	}
	judge, problems := verdict.NewJudge(sc, sys)
	if len(problems) > 0 {
		return nil, exitError{code: ExitUsage, err: problems}
	}
	res := judge.Judge(ctx, run)
	row := reports.RowOf(reports.Input{Run: run, Scenario: sc, System: sys, Result: res})
	return &outcome{in: in, dir: dir, code: res.ExitCode(), row: row}, ctx.Err()
}
