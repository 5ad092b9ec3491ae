package app

import (
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"squall/reports"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// saved reads a run directory together with the inputs it keeps, or with an
// edited scenario in place of the kept one.
func saved(dir, scenario string) (*record.Run, *spec.Scenario, *spec.System, error) {
	run, err := record.Open(dir)
	if err != nil {
		return nil, nil, nil, exitError{code: ExitUsage, err: err}
	}
	file := scenario
	if file == "" {
		file = filepath.Join(dir, "input", filepath.FromSlash(run.Header.Input))
	}
	sc, problems := spec.Load(file)
	if sc == nil || len(problems) > 0 {
		return nil, nil, nil, exitError{code: ExitUsage, err: problems}
	}
	sys, problems := loadSystem(filepath.Join(dir, "input", filepath.FromSlash(run.Header.System)), choices(run.Header.Switches))
	if sys == nil || len(problems) > 0 {
		return nil, nil, nil, exitError{code: ExitUsage, err: problems}
	}
	return run, sc, sys, nil
}

func (a *app) judgeCmd() *cobra.Command {
	var scenario string
	c := &cobra.Command{
		Use:   "judge RUN",
		Short: "Judge a saved run again, with today's checks or an edited scenario",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			run, sc, sys, err := saved(args[0], scenario)
			if err != nil {
				return err
			}
			judge, problems := verdict.NewJudge(sc, sys)
			if len(problems) > 0 {
				return exitError{code: ExitUsage, err: problems}
			}
			in := reports.Input{Run: run, Scenario: sc, System: sys, Result: judge.Judge(c.Context(), run)}
			if c.Context().Err() != nil {
				return exitError{code: ExitInterrupted} // half a judgement must not replace a whole one
			}
			if err := writeReports(in); err != nil {
				return err
			}
			a.printFinal(in, args[0])
			return exitWith(in.Result.ExitCode())
		},
	}
	c.Flags().StringVar(&scenario, "scenario", "", "edited scenario file to judge by, instead of the kept one")
	return c
}

func (a *app) printFinal(in reports.Input, dir string) {
	(&oneRun{app: a, dir: dir}).final(in)
}

func (a *app) reportCmd() *cobra.Command {
	var format, out string
	formats := map[string]func(io.Writer, reports.Input) error{
		"html":     reports.HTML,
		"markdown": reports.Markdown,
		"junit": func(w io.Writer, in reports.Input) error {
			return reports.JUnit(w, []reports.Input{in}, reports.JUnitOptions{})
		},
		"junit-strict": func(w io.Writer, in reports.Input) error {
			return reports.JUnit(w, []reports.Input{in}, reports.JUnitOptions{Strict: true})
		},
		"text": func(w io.Writer, in reports.Input) error {
			reports.Final(w, in, reports.TextOptions{Color: out == "-" && a.colour(), ReportPath: filepath.Join(in.Run.Dir, "report.html")})
			return nil
		},
	}
	c := &cobra.Command{
		Use:   "report RUN",
		Short: "Render a saved run again from its record and verdict",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			render, ok := formats[format]
			if !ok {
				return usage("--format %q: want html, markdown, junit, junit-strict or text", format)
			}
			run, sc, sys, err := saved(args[0], "")
			if err != nil {
				return err
			}
			res, err := readResult(args[0])
			if err != nil {
				return usage("no verdict: %v; make one with: squall judge %s", err, args[0])
			}
			in := reports.Input{Run: run, Scenario: sc, System: sys, Result: res}
			if out == "-" {
				return render(a.Stdout, in)
			}
			return writeFile(out, func(w io.Writer) error { return render(w, in) })
		},
	}
	c.Flags().StringVar(&format, "format", "html", "html, markdown, junit, junit-strict or text")
	c.Flags().StringVarP(&out, "file", "f", "-", "file to write, - for standard output")
	return c
}
