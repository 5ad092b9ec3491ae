package app

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"squall/reports"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func (a *app) compareCmd() *cobra.Command {
	var band, page string
	c := &cobra.Command{
		Use:   "compare A B",
		Short: "What run B did differently from run A: verdicts, assertions, and what was measured, phase by phase",
		Long: `Both are run directories. Series are compared in slices of 500 ms by a block bootstrap, shares of events by Newcombe's interval:
a change counts only if its whole interval lies beyond the band, and the intervals hold together with 95 %. What differs from run to run
on a machine is part of it: compare runs of a machine that does nothing else. --output json writes the same as JSON.
Exit code 1: an assertion that held is broken, or something measured is worse.`,
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			q := &spec.Quantity{}
			if err := q.FromScalar(band); err != nil || q.Value < 0 {
				return usage("--band %q: want a share such as 10%%", band)
			}
			return a.compare(c.Context(), args[0], args[1], q.Value, page)
		},
	}
	c.Flags().StringVar(&band, "band", "10%", "relative change that still is none")
	c.Flags().StringVar(&page, "html", "", "also write a page with both runs on one axis to this file")
	return c
}

func (a *app) compare(ctx context.Context, dirA, dirB string, band float64, page string) error {
	before, inA, err := judgedRun(dirA)
	if err != nil {
		return err
	}
	after, inB, err := judgedRun(dirB)
	if err != nil {
		return err
	}
	difference, err := verdict.Compare(ctx, before, after, band)
	if err != nil {
		return err
	}
	if page != "" {
		err := writeFile(page, func(w io.Writer) error { return reports.CompareHTML(w, inA, inB, difference) })
		if err != nil {
			return err
		}
	}
	c := reports.Compared{A: reports.RowOf(inA), B: reports.RowOf(inB), Difference: difference}
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

// judgedRun is a saved run with the verdict that it has.
func judgedRun(dir string) (verdict.Saved, reports.Input, error) {
	run, sc, sys, err := saved(dir, "")
	if err != nil {
		return verdict.Saved{}, reports.Input{}, err
	}
	judge, problems := verdict.NewJudge(sc, sys)
	if len(problems) > 0 {
		return verdict.Saved{}, reports.Input{}, exitError{code: ExitUsage, err: problems}
	}
	res, err := readResult(dir)
	if err != nil {
		return verdict.Saved{}, reports.Input{}, usage("no verdict: %v; make one with: squall judge %s", err, dir)
	}
	s := verdict.Saved{Run: run, Judge: judge, Result: res}
	return s, reports.Input{Run: run, Scenario: sc, System: sys, Result: res}, nil
}

func side(r reports.Row) map[string]any {
	return map[string]any{"dir": r.Dir, "header": r.Header, "verdict": r.Word(), "sentence": r.Result.Sentence}
}
