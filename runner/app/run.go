package app

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"squall/faults"
	"squall/reports"
	"squall/reports/live"
	"squall/runner/engine"
	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/targets"
	"squall/runner/targets/docker"
	"squall/runner/targets/process"
	"squall/runner/trace"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// lease is how long faults and environment outlive a runner that went silent.
const lease = 3 * time.Second

type runFlags struct {
	choice
	out      string
	junit    string
	history  string
	live     string
	k6       string
	parallel int
	repeat   int
	dryRun   bool
	again    bool // a run whose load generator was starved is run once more
}

func (a *app) runCmd() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [FILE|DIR]...",
		Short: "Boot the system, inject, load, judge and report (default: every scenario of ./scenarios)",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if f.parallel < 1 || f.repeat < 1 {
				return usage("--parallel and --repeat want at least 1")
			}
			if !c.Flags().Changed("seed") {
				f.seed = drawSeed()
			}
			return a.run(c.Context(), args, f)
		},
	}
	a.choiceFlags(c, &f.choice)
	c.Flags().StringVar(&f.out, "out", "out", "folder of run directories")
	c.Flags().StringVar(&f.junit, "junit", "", "also write JUnit XML of all scenarios to this file")
	c.Flags().StringVar(&f.history, "history", "", "file to add what came of each scenario to, a JSON line each; the index then shows what is new")
	c.Flags().StringVar(&f.live, "live", "", "address of this machine to show the report at while the run goes on")
	c.Flags().Lookup("live").NoOptDefVal = "127.0.0.1:0"
	c.Flags().StringVar(&f.k6, "k6", "", "k6 binary with the squall extension (default $SQUALL_K6, else the cached build)")
	c.Flags().IntVar(&f.parallel, "parallel", 1, "scenarios at once, each on a system of its own")
	c.Flags().IntVar(&f.repeat, "repeat", 1, "times each scenario runs")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "print the plans and touch nothing")
	return c
}

// choiceFlags are the flags that decide what a scenario resolves to.
func (a *app) choiceFlags(c *cobra.Command, ch *choice) {
	c.Flags().StringVar(&ch.system, "system", "", "system file, instead of the one the scenario names")
	switchFlag(c, &ch.switches)
	c.Flags().StringSliceVar(&ch.tags, "tag", nil, "only scenarios with one of these tags")
	c.Flags().Uint64Var(&ch.seed, "seed", 0, "seed of all choices by chance (default: drawn and recorded)")
	c.Flags().StringSliceVar(&ch.defects, "defect", nil, "defects of the system to switch on")
}

func switchFlag(c *cobra.Command, switches *[]string) {
	c.Flags().StringSliceVar(switches, "switch", nil, "switches of the system to turn on (squall list switches)")
}

func drawSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])                        // never fails since Go 1.24
	return binary.LittleEndian.Uint64(b[:]) >> 32 // short enough to type
}

func (a *app) run(ctx context.Context, args []string, f runFlags) error {
	f.here = true
	if _, err := reports.ReadHistory(f.history); f.history != "" && err != nil {
		return exitError{code: ExitUsage, err: err} // before anything is started
	}
	ins, err := a.readInputs(args, f.choice)
	if err != nil {
		return err
	}
	if f.dryRun {
		return a.printPlans(ins)
	}
	outcomes, err := a.runAll(ctx, ins, f)
	all := scenariosOf(outcomes)
	if len(outcomes) > 1 && a.output != "json" {
		reports.Summary(a.Stdout, all, a.colour())
	}
	if f.repeat > 1 && a.output == "json" {
		for _, s := range all {
			_ = writeJSONLine(a.Stdout, map[string]any{"scenario": s.Name(), "runs": len(s.Runs), "result": s.Result})
		}
	}
	if f.junit != "" && len(outcomes) > 0 {
		err = errors.Join(err, writeJUnit(f.junit, all))
	}
	err = errors.Join(err, a.tellCI(all, f.out))
	return conclusion(suiteCode(outcomes), len(ins)*f.repeat-len(outcomes), err)
}

// runAll runs every scenario as often as asked, each in a run directory below
// one suite directory.
func (a *app) runAll(ctx context.Context, ins []*input, f runFlags) (all []*outcome, err error) {
	if err := process.MakeStateDir(a.stateDir()); err != nil {
		return nil, err
	}
	if err := a.refuseOpenJournals(); err != nil {
		return nil, err
	}
	k6 := ""
	if slices.ContainsFunc(ins, func(in *input) bool { return in.scenario.Spec.Load.Given() }) {
		if k6, err = a.findK6(f.k6); err != nil {
			return nil, err
		}
	}
	pages, err := a.serveLive(f.live)
	if err != nil {
		return nil, err
	}
	if pages != nil {
		defer func() { err = errors.Join(err, pages.Close()) }()
	}
	suite := filepath.Join(f.out, time.Now().UTC().Format("20060102T150405.000Z"))
	outcomes := make([]*outcome, len(ins)*f.repeat)
	var group errgroup.Group
	group.SetLimit(f.parallel)
	var lines sync.Mutex
	for i := range outcomes {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			in, name, err := a.round(ins[i%len(ins)], i/len(ins), f.choice)
			if err != nil {
				return err
			}
			r := &oneRun{app: a, in: in, f: f, k6: k6, dir: filepath.Join(suite, name), name: name, alone: f.parallel == 1, lines: &lines, pages: pages}
			outcomes[i], err = r.do(ctx)
			if why := outcomes[i].starved(); f.again && why != "" && err == nil && ctx.Err() == nil {
				r.name, r.dir = name+".again", r.dir+".again"
				if outcomes[i], err = r.do(ctx); outcomes[i] != nil {
					outcomes[i].again = why
				}
			}
			return err
		})
	}
	err = group.Wait()
	outcomes = finished(outcomes)
	if len(outcomes) > 0 {
		err = errors.Join(err, finishSuite(f.out, suite, f.history, outcomes))
	}
	return outcomes, err
}

// round is the nth run of a scenario, from 0. Every round after the first makes
// its own choices, from a seed that follows from the first one's.
func (a *app) round(in *input, n int, c choice) (*input, string, error) {
	c.defects = in.plan.Defects
	if n == 0 {
		return in, in.name(), nil
	}
	c.seed = plan.SeedFor(c.seed, fmt.Sprintf("round %d", n)) >> 32
	again, problems := readInput(in.scenario.File, c)
	if len(problems) > 0 {
		return nil, "", exitError{code: ExitUsage, err: problems}
	}
	return again, fmt.Sprintf("%s.%d", in.name(), n+1), nil
}

// oneRun is one run of one scenario.
type oneRun struct {
	*app
	in    *input
	f     runFlags
	k6    string
	dir   string
	name  string
	alone bool
	lines *sync.Mutex  // one final block at a time
	pages *live.Server // nil: nobody may watch
}

func (r *oneRun) do(ctx context.Context) (*outcome, error) {
	w, err := record.Create(r.dir, r.header())
	if err != nil {
		return nil, err
	}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if missing := process.Missing(r.in.system, []string{"PATH=" + r.Env("PATH")}); len(missing) > 0 {
		if err := w.Close(record.End{Reason: record.EndSkipped, Error: strings.Join(missing, "; ")}); err != nil {
			return nil, err
		}
		return r.conclude(ctx)
	}
	release, err := inject.Lock(r.stateDir(), r.dir)
	if err != nil {
		return nil, err
	}
	journal, err := inject.OpenJournal(filepath.Join(r.dir, "undo.ndjson"))
	if err != nil {
		return nil, errors.Join(err, release())
	}
	traces, endTraces, err := r.traces(ctx, w)
	if err != nil {
		return nil, errors.Join(err, journal.Close(), release())
	}
	env := r.environment(traces)
	mirror(ctx, env, journal)
	terminal := r.follow(r.dir, r.name, func(run *record.Run, elapsed time.Duration, width int, colour bool) string {
		return reports.View(run, r.in.scenario.Spec.Phases, elapsed, width, colour)
	}, r.alone)
	r.showLive(ctx)
	end, runErr := engine.Run(ctx, engine.Config{
		Plan: r.in.plan, Scenario: r.in.scenario, System: r.in.system, Judge: r.in.judge(),
		Env: env, Record: w, Journal: journal, Registry: faults.Builtin(),
		K6: r.k6, Script: r.script(),
		Owner: r.owner(), Lease: lease, Traces: endTraces, Getenv: r.Env,
		Heal: func(ctx context.Context) error {
			return inject.Heal(ctx, filepath.Join(r.dir, "undo.ndjson"), faults.Builtin(), r.findTarget(ctx), func(string) {})
		},
	})
	terminal.stop()
	o, err := r.conclude(ctx)
	if len(end.Dirty) > 0 {
		o.code = ExitDirty // also where no report can say so
	}
	return o, errors.Join(runErr, err, journal.Close(), r.unlock(release, len(end.Dirty) > 0))
}

// owner names this run on stages and environments, and no other.
func (r *oneRun) owner() string { return ownerOf(r.dir) }

func ownerOf(runDir string) string {
	return filepath.Base(filepath.Dir(runDir)) + "-" + filepath.Base(runDir)
}

// unlock takes the run off the list, unless something is left to undo or to
// mend: then it stays, and heal finds it once this process has ended.
func (r *oneRun) unlock(release func() error, dirty bool) error {
	open, err := inject.ReadJournal(filepath.Join(r.dir, "undo.ndjson"))
	if err != nil || len(open) > 0 || dirty {
		return err
	}
	return release()
}

func (r *oneRun) header() record.Header {
	return record.Header{
		Run: r.name, Scenario: r.in.scenario.Metadata.Name, Title: r.in.scenario.Metadata.Title,
		Hypothesis: r.in.scenario.Spec.Hypothesis, File: r.in.scenario.File, Input: r.in.kept(r.in.scenario.File), System: r.in.kept(r.in.system.File),
		PlanHash: r.in.plan.Hash(), Seed: r.in.plan.Seed, Started: time.Now(),
		Switches: r.in.plan.Switches, Defects: r.in.plan.Defects,
		Rerun: r.rerun(), Versions: versions(),
	}
}

// script is the load script as the run directory keeps it.
func (r *oneRun) script() string {
	return filepath.Join(r.dir, "input", filepath.FromSlash(r.in.kept(r.in.script())))
}

// rerun is the exact command that does this again.
func (r *oneRun) rerun() string {
	s := fmt.Sprintf("squall run --seed %d", r.in.plan.Seed)
	if r.f.system != "" {
		s += " --system " + targets.Shell(r.f.system)
	}
	if len(r.f.switches) > 0 {
		s += " --switch " + strings.Join(r.f.switches, ",")
	}
	if len(r.in.plan.Defects) > 0 {
		s += " --defect " + strings.Join(r.in.plan.Defects, ",")
	}
	return s + " " + targets.Shell(r.in.scenario.File)
}

// prepare keeps inputs and plan beside the record.
func (r *oneRun) prepare() error {
	if err := r.in.keep(r.dir); err != nil {
		return err
	}
	return writeJSON(filepath.Join(r.dir, "plan.json"), r.in.plan)
}

// traces starts the receiver of the system's traces, if a check wants them; it
// returns its URL and what ends it.
func (r *oneRun) traces(ctx context.Context, w *record.Writer) (url string, end func(context.Context) error, err error) {
	if !r.in.judge().NeedsSpans() {
		return "", nil, nil
	}
	host := "127.0.0.1"
	if r.in.system.Spec.Target == spec.TargetCompose {
		if host, err = docker.Gateway(ctx); err != nil {
			return "", nil, err
		}
	}
	receiver, err := trace.Listen(host, w)
	if err != nil {
		return "", nil, err
	}
	return receiver.URL(), receiver.Close, nil
}

func (r *oneRun) environment(traces string) targets.Environment {
	if !r.in.system.Started() {
		return r.remote(r.in.system, r.owner(), r.dir)
	}
	return process.New(process.Config{
		System: r.in.system, Defects: r.in.plan.Defects, RunDir: r.dir, StateDir: r.stateDir(),
		Self: r.Self, Owner: r.owner(), Lease: lease, Needs: needs(r.in.plan), Traces: traces,
	})
}

// needs are, by target, what the planned faults need of it.
func needs(p *plan.Plan) map[string][]faults.Capability {
	out := map[string][]faults.Capability{}
	for _, f := range p.Faults {
		for _, t := range f.Targets {
			if kind, err := faults.Builtin().Kind(t.Kind); err == nil { // the plan knows them all
				out[t.Name] = append(out[t.Name], kind.Needs)
			}
		}
	}
	return out
}

// conclude judges the finished record and writes the reports. It returns an
// outcome also when that fails.
func (r *oneRun) conclude(ctx context.Context) (*outcome, error) {
	o := &outcome{in: r.in, dir: r.dir, code: ExitError}
	run, err := record.Open(r.dir)
	if err != nil {
		return o, err
	}
	report := reports.Input{
		Run: run, Scenario: r.in.scenario, System: r.in.system,
		Result: r.in.judge().Judge(context.WithoutCancel(ctx), run),
	}
	o.row, o.code = reports.RowOf(report), report.Result.ExitCode()
	if run.End != nil && run.End.Reason == record.EndInterrupted && o.code != ExitDirty {
		o.code = ExitInterrupted
	}
	err = writeReports(report)
	r.lines.Lock()
	defer r.lines.Unlock()
	r.final(report)
	return o, err
}

func exitWith(code int) error {
	if code == ExitPass {
		return nil
	}
	return exitError{code: code}
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// readResult is the saved verdict of a run.
func readResult(dir string) (verdict.Result, error) {
	var res verdict.Result
	data, err := os.ReadFile(filepath.Join(dir, "verdict.json"))
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(data, &res); err != nil {
		return res, fmt.Errorf("%s: %w", filepath.Join(dir, "verdict.json"), err)
	}
	return res, nil
}
