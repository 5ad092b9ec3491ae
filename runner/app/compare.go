package app

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"squall/reports"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func (a *app) compareCmd() *cobra.Command {
	var band, page string
	c := &cobra.Command{
		Use:   "compare A B | compare A... -- B...",
		Short: "What run B did differently from run A: verdicts, assertions, and what was measured, phase by phase",
		Long: `A and B are run directories, or folders with several runs of one scenario, as run --repeat leaves them.

One run against one: series are compared in slices of 500 ms by a block bootstrap, shares of events by Newcombe's interval. What differs
from run to run on a machine is part of it: compare runs of a machine that does nothing else.

Several against several: each run gives one value of each measure, and what these scatter by is what chance does. The interval of the
difference is Student's, variances apart, with the degrees of freedom of the smaller side (Mickey and Brown 1966); of times and rates it is
taken over logarithms. Three runs on each side are the least, and find only what is large; five find much more. How often an assertion held
is compared by Fisher's exact test.

A change counts only if its whole interval lies beyond the band, and the intervals hold together with 95 %. --output json writes the same
as JSON. Exit code 1: an assertion that held is broken, or something measured is worse; over repeats: it holds less often, and surely so, or
held in every run before and in none since.`,
		Example: `  squall compare out/before/psp-slow out/after/psp-slow
  squall compare out/before out/after
  squall compare out/before/psp-slow* -- out/after/psp-slow* --html difference.html`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			q := &spec.Quantity{}
			if err := q.FromScalar(band); err != nil || q.Value < 0 {
				return usage("--band %q: want a share such as 10%%", band)
			}
			dash := c.ArgsLenAtDash()
			switch {
			case dash < 0 && len(args) == 2:
				dash = 1
			case dash <= 0 || dash == len(args):
				return usage("want A B, or several runs on each side of --")
			}
			return a.compare(c.Context(), args[:dash], args[dash:], q.Value, page)
		},
	}
	c.Flags().StringVar(&band, "band", "10%", "relative change that still is none")
	c.Flags().StringVar(&page, "html", "", "also write a page with both runs on one axis to this file")
	return c
}

func (a *app) compare(ctx context.Context, before, after []string, band float64, page string) error {
	sideA, err := comparedSide(ctx, before)
	if err != nil {
		return err
	}
	sideB, err := comparedSide(ctx, after)
	if err != nil {
		return err
	}
	difference := verdict.Compare(sideA.samples, sideB.samples, band)
	if page != "" {
		err := writeFile(page, func(w io.Writer) error { return reports.CompareHTML(w, sideA.inputs, sideB.inputs, difference) })
		if err != nil {
			return err
		}
	}
	c := reports.Compared{A: rowsOf(sideA.inputs), B: rowsOf(sideB.inputs), Difference: difference}
	if a.output == "json" {
		err = writeJSONLine(a.Stdout, map[string]any{
			"a": side(c.A), "b": side(c.B), "difference": difference, "worse": difference.Worse(),
		})
	} else {
		err = reports.DifferenceText(a.Stdout, c, a.colour())
	}
	if err == nil && difference.Worse() {
		return exitError{code: ExitFail}
	}
	return err
}

// compared are the runs of one side, without their records.
type compared struct {
	samples []verdict.Sample
	inputs  []reports.Input
}

// comparedSide reads runs, and folders of runs, of one scenario.
func comparedSide(ctx context.Context, paths []string) (out compared, err error) {
	for _, path := range paths {
		dirs, err := runsIn(path)
		if err != nil {
			return out, err
		}
		for _, dir := range dirs {
			sample, in, err := judgedRun(ctx, dir)
			if err != nil {
				return out, err
			}
			out.samples, out.inputs = append(out.samples, sample), append(out.inputs, in)
			if first := out.inputs[0].Run; whatRan(first.Header) != whatRan(in.Run.Header) {
				return out, usage("%s is a run of %s and %s of %s: each side is runs of one scenario with one set of defects", first.Dir, whatRan(first.Header), dir, whatRan(in.Run.Header))
			}
		}
	}
	return out, nil
}

func whatRan(h record.Header) string {
	return strings.Join(append([]string{h.Scenario}, h.Defects...), "+")
}

// runsIn a folder: itself where it is a run, else the runs in it.
func runsIn(path string) (dirs []string, err error) {
	if _, err := record.OpenMain(path); err == nil {
		return []string{path}, nil
	}
	below, err := os.ReadDir(path)
	if err != nil {
		return nil, exitError{code: ExitUsage, err: err}
	}
	for _, e := range below {
		if dir := filepath.Join(path, e.Name()); e.IsDir() {
			if _, err := record.OpenMain(dir); err == nil {
				dirs = append(dirs, dir)
			}
		}
	}
	if len(dirs) == 0 {
		return nil, usage("%s is no run directory, and holds none", path)
	}
	return dirs, nil
}

// judgedRun is what is compared and shown of a saved run, with the verdict that it has.
func judgedRun(ctx context.Context, dir string) (verdict.Sample, reports.Input, error) {
	run, sc, sys, err := saved(dir, "")
	if err != nil {
		return verdict.Sample{}, reports.Input{}, err
	}
	judge, problems := verdict.NewJudge(sc, sys)
	if len(problems) > 0 {
		return verdict.Sample{}, reports.Input{}, exitError{code: ExitUsage, err: problems}
	}
	in, err := savedReport(dir)
	if err != nil {
		return verdict.Sample{}, reports.Input{}, err
	}
	sample, err := verdict.Saved{Run: run, Judge: judge, Result: in.Result}.Sample(ctx)
	return sample, in, err
}

func rowsOf(ins []reports.Input) (rows []reports.Row) {
	for _, in := range ins {
		rows = append(rows, reports.RowOf(in))
	}
	return rows
}

func side(rows []reports.Row) (out []map[string]any) {
	for _, r := range rows {
		out = append(out, map[string]any{"dir": r.Dir, "header": r.Header, "verdict": r.Word(), "sentence": r.Result.Sentence})
	}
	return out
}
