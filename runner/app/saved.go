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
	sc, sys, err := savedInputs(run, scenario)
	return run, sc, sys, err
}

// savedInputs are the scenario and the system of a run, read from its directory.
func savedInputs(run *record.Run, scenario string) (*spec.Scenario, *spec.System, error) {
	dir, file := run.Dir, scenario
	if file == "" {
		file = filepath.Join(dir, "input", filepath.FromSlash(run.Header.Input))
	}
	sc, problems := spec.Load(file)
	if sc == nil || len(problems) > 0 {
		return nil, nil, exitError{code: ExitUsage, err: problems}
	}
	sys, problems := loadSystem(filepath.Join(dir, "input", filepath.FromSlash(run.Header.System)), choices(run.Header.Switches))
	if sys == nil || len(problems) > 0 {
		return nil, nil, exitError{code: ExitUsage, err: problems}
	}
	return sc, sys, nil
}

// savedReport is what a saved run is rendered from: its main stream, verdict and
// digest. Only where there is no digest that fits, the whole record is read.
func savedReport(dir string) (reports.Input, error) {
	res, err := readResult(dir)
	run, openErr := record.OpenMain(dir)
	if openErr != nil {
		return reports.Input{}, exitError{code: ExitUsage, err: openErr}
	}
	if err != nil {
		return reports.Input{}, usage("no verdict: %v; make one with: squall judge %s", err, dir)
	}
	digest, err := reports.ReadDigest(run)
	if err != nil {
		if run, err = record.Open(dir); err != nil {
			return reports.Input{}, exitError{code: ExitUsage, err: err}
		}
	}
	sc, sys, err := savedInputs(run, "")
	return reports.Input{Run: run, Digest: digest, Scenario: sc, System: sys, Result: res}, err
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
			if scenario == "" { // the user knows the file by its own name, not by the copy's
				for i := range in.Result.Findings {
					if pos := &in.Result.Findings[i].Pos; pos.File == sc.File {
						pos.File = run.Header.File
					}
				}
			}
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
			return reports.RunJUnit(w, in, reports.JUnitOptions{})
		},
		"junit-strict": func(w io.Writer, in reports.Input) error {
			return reports.RunJUnit(w, in, reports.JUnitOptions{Strict: true})
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
			in, err := savedReport(args[0])
			if err != nil {
				return err
			}
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
