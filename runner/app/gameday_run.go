package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"squall/faults"
	"squall/reports"
	"squall/runner/engine"
	"squall/runner/gameday"
	"squall/runner/inject"
	"squall/runner/record"
	"squall/runner/targets"
	"squall/runner/targets/process"
)

type dayFlags struct {
	out    string
	k6     string
	dryRun bool
	listen string
	cert   string
	key    string
	as     string
}

func (a *app) gamedayRunCmd() *cobra.Command {
	var f dayFlags
	c := &cobra.Command{
		Use:   "run PLAN",
		Short: "Run an approved plan; keys and squall gameday abort stop it, and so do guardrails, signals, the deadline and silence",
		Args:  cobra.ExactArgs(1),
		RunE:  func(c *cobra.Command, args []string) error { return a.gamedayRun(c.Context(), args[0], f) },
	}
	c.Flags().StringVar(&f.out, "out", filepath.Join("out", "gameday"), "folder of run directories")
	c.Flags().StringVar(&f.k6, "k6", "", "k6 binary with the squall extension (default $SQUALL_K6, else the cached build)")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "rehearse: load, probes, guardrails and undos are real, and no fault does anything; needs no approval and no window")
	c.Flags().StringVar(&f.listen, "listen", "", "also serve the live page here, such as 0.0.0.0:8443; needs --tls-cert and --tls-key (default: loopback only)")

	c.Flags().StringVar(&f.cert, "tls-cert", "", "certificate file (PEM)")
	c.Flags().StringVar(&f.key, "tls-key", "", "key file of the certificate (PEM)")
	c.Flags().StringVar(&f.as, "as", "", "who sits at this terminal (default $USER)")
	return c
}

func (a *app) gamedayRun(ctx context.Context, file string, f dayFlags) error {
	certs, err := f.certs()
	if err != nil {
		return err
	}
	p, err := readPlan(file)
	if err != nil {
		return err
	}
	if err := process.MakeStateDir(a.stateDir()); err != nil {
		return err
	}
	in, facts, err := a.facts(p, file, f)
	if err != nil {
		return err
	}
	if why := gameday.Refusals(facts); len(why) > 0 {
		return exitError{code: ExitError, err: fmt.Errorf("the game day is not run:\n  %s", strings.Join(why, "\n  "))}
	}
	d := &dayRun{app: a, in: in, f: f, certs: certs, plan: p, facts: facts, desk: gameday.NewDesk()}
	d.dir = filepath.Join(f.out, time.Now().UTC().Format("20060102T150405.000Z")+"-"+p.Day)
	return d.do(ctx)
}

// facts gathers what decides whether the plan may be run.
func (a *app) facts(p *gameday.Plan, file string, f dayFlags) (*dayInput, gameday.Facts, error) {
	facts := gameday.Facts{Plan: p, At: time.Now()}
	in, problems := readDay(p.File, p.SystemFile, p.Made, p.Seed)
	facts.Problems = problems
	if in == nil || in.Compiled == nil {
		if len(problems) == 0 {
			return nil, facts, fmt.Errorf("%s cannot be read", p.File)
		}
		return nil, facts, nil
	}
	facts.Now, facts.Window, facts.Approvers = in.Plan, in.Day.Spec.Window, in.System.Spec.Approvers
	var err error
	if facts.Signatures, err = signatures(file); err != nil {
		return nil, facts, err
	}
	if in.Day.Spec.Freeze != "" {
		if freeze := beside(p.File, in.Day.Spec.Freeze); exists(freeze) {
			facts.Frozen = freeze
		}
	}
	if facts.Open, err = a.openJournals(); err != nil {
		return nil, facts, err
	}
	facts.Preflight = process.Missing(in.System, []string{"PATH=" + a.Env("PATH")})
	if in.Day.Spec.Load != nil || len(in.subs) > 0 {
		if _, err := a.findK6(f.k6); err != nil {
			facts.Preflight = append(facts.Preflight, err.Error())
		}
	}
	if f.dryRun { // a rehearsal breaks nothing: nobody must agree, at any time
		rehearsed := *p
		rehearsed.Approvals = 0
		facts.Plan, facts.Window, facts.Frozen, facts.Signatures = &rehearsed, nil, "", nil
		now := *in.Plan
		now.Approvals = 0
		facts.Now = &now
	}
	return in, facts, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// dayRun is one day that is run.
type dayRun struct {
	*app
	in    *dayInput
	f     dayFlags
	certs *tls.Config // of the page that others can reach; nil: there is none
	plan  *gameday.Plan
	facts gameday.Facts
	dir   string
	k6    string
	desk  *gameday.Desk
}

func (d *dayRun) do(ctx context.Context) error {
	if d.in.Day.Spec.Load != nil || len(d.in.subs) > 0 {
		var err error
		if d.k6, err = d.findK6(d.f.k6); err != nil {
			return err
		}
	}
	people, _ := gameday.Approvals(d.plan.Hash(), d.facts.Signatures, d.facts.Approvers)
	w, err := record.Create(d.dir, d.header())
	if err != nil {
		return err
	}
	if err := d.keep(); err != nil {
		return errors.Join(err, w.Close(record.End{Reason: record.EndError, Error: err.Error()}))
	}
	release, err := inject.Lock(d.stateDir(), d.dir)
	if err != nil {
		return err
	}
	journal, err := inject.OpenJournal(filepath.Join(d.dir, "undo.ndjson"))
	if err != nil {
		return errors.Join(err, release())
	}
	stop, err := d.serve()
	if err != nil {
		return errors.Join(err, journal.Close(), w.Close(record.End{Reason: record.EndError, Error: err.Error()}), release())
	}
	terminal := d.follow(d.dir, d.plan.Day, d.picture, true)
	stopKeys := d.keys(terminal)
	end, runErr := gameday.Run(ctx, d.config(ctx, w, journal, people))
	stopKeys()
	terminal.stop()
	err = errors.Join(runErr, journal.Close(), d.conclude(end))
	open, readErr := inject.ReadJournal(filepath.Join(d.dir, "undo.ndjson"))
	if err = errors.Join(err, readErr); len(open) == 0 && len(end.Dirty) == 0 && readErr == nil {
		err = errors.Join(err, release())
	} else {
		d.shout(end, open)
	}
	err = errors.Join(err, stop())
	if err != nil {
		return err
	}
	return exitWith(dayCode(end))
}

// picture is the live view of the terminal.
func (d *dayRun) picture(run *record.Run, elapsed time.Duration, width int, colour bool) string {
	text := reports.DayView(run, d.in.Day, elapsed, width, colour)
	if d.TTY {
		text += "\n" + keyHelp
	}
	return text
}

func dayCode(end record.End) int {
	if len(end.Dirty) > 0 {
		return ExitDirty
	}
	return map[string]int{
		record.EndDone: ExitPass, record.EndAborted: ExitAborted, record.EndInterrupted: ExitInterrupted, record.EndNotSteady: ExitInconclusive,
	}[end.Reason] + map[bool]int{true: ExitError}[end.Reason == record.EndError]
}

// shout says what is left, and the exact command that undoes it.
func (d *dayRun) shout(end record.End, open []inject.Line) {
	fmt.Fprintln(d.Stderr, "\n!!! NOT HEALED. This is still broken:")
	for _, l := range open {
		fmt.Fprintf(d.Stderr, "!!!   fault %s: %s on %s\n", l.ID, l.Kind, l.On)
	}
	for _, l := range end.Dirty {
		l, _ = strings.CutSuffix(l, engine.MendIt) // which is said in full below
		for line := range strings.Lines(l) {
			what, byHand, known := strings.Cut(strings.TrimSuffix(line, "\n"), targets.ByHand)
			fmt.Fprintf(d.Stderr, "!!!   %s\n", what)
			if known {
				fmt.Fprintf(d.Stderr, "!!!   by hand:\n!!!     %s\n", byHand)
			}
		}
	}
	fmt.Fprintf(d.Stderr, "!!! Run this now, and again until it says that nothing is left broken:\n!!!   %s\n", d.healCommand())
}

// healCommand undoes from any terminal of this machine what a run left.
func (a *app) healCommand() string {
	return "SQUALL_STATE=" + targets.Shell(a.stateDir()) + " " + targets.Shell(append(slices.Clone(a.Self), "heal")...)
}

func (d *dayRun) header() record.Header {
	title := d.plan.Title
	if d.f.dryRun {
		title = strings.TrimSpace(title + " (rehearsal)")
	}
	in := &input{files: d.in.files}
	return record.Header{
		Run: filepath.Base(d.dir), Scenario: d.plan.Day, Title: title, Hypothesis: strings.Join(d.plan.Objectives, "; "),
		File: d.plan.File, Input: in.kept(d.plan.File), System: in.kept(d.in.System.File), PlanHash: d.plan.Hash(), Seed: d.plan.Seed,
		Started: time.Now(), Switches: d.plan.Switches, Rerun: "squall gameday plan " + targets.Shell(d.plan.File), Versions: versions(),
	}
}

// keep copies plan, approvals and inputs into the run directory.
func (d *dayRun) keep() error {
	in := &input{files: d.in.files, plan: d.in.Live}
	if err := in.keep(d.dir); err != nil {
		return err
	}
	errs := []error{os.WriteFile(filepath.Join(d.dir, "plan.json"), d.plan.Encode(), 0o644)}
	for name, sig := range d.facts.Signatures {
		errs = append(errs, os.WriteFile(filepath.Join(d.dir, name), sig, 0o644))
	}
	return errors.Join(errs...)
}

func (d *dayRun) config(ctx context.Context, w *record.Writer, journal *inject.Journal, people []string) gameday.Config {
	env := d.day().environment("")
	mirror(ctx, env, journal)
	cfg := gameday.Config{
		Compiled: d.in.Compiled, Record: w, Journal: journal, Registry: d.registry(), K6: d.k6, Owner: ownerOf(d.dir), Lease: lease,
		Desk: d.desk, Approved: people, Window: d.facts.Window, Env: env, Getenv: d.Env,
		Heal: func(ctx context.Context) error {
			return inject.Heal(ctx, filepath.Join(d.dir, "undo.ndjson"), faults.Builtin(), d.findTarget(ctx), func(string) {})
		},
	}
	if l := d.in.Day.Spec.Load; l != nil {
		in := &input{files: d.in.files}
		cfg.Script = filepath.Join(d.dir, "input", filepath.FromSlash(in.kept(beside(d.in.Day.File, l.Script))))
	}
	cfg.Scenario = func(ctx context.Context, id string, sub *gameday.Sub, env targets.Environment) (gameday.ScenarioEnd, error) {
		return d.scenario(ctx, id, env, journal, cfg.Heal)
	}
	return cfg
}

func (d *dayRun) registry() faults.Registry {
	if d.f.dryRun {
		return gameday.Rehearsal(faults.Builtin())
	}
	return faults.Builtin()
}

// day is the whole day as a run, for what a day has in common with one.
func (d *dayRun) day() *oneRun {
	return &oneRun{app: d.app, in: &input{system: d.in.System, plan: d.in.merged()}, dir: d.dir}
}

// scenario runs a step that is one, in a run directory of its own. Its intents
// stand in the day's journal: one heal finds them all.
func (d *dayRun) scenario(ctx context.Context, id string, env targets.Environment, journal *inject.Journal, heal func(context.Context) error) (gameday.ScenarioEnd, error) {
	rel := filepath.Join("steps", id)
	r := &oneRun{app: d.app, in: d.in.subs[id], dir: filepath.Join(d.dir, rel), name: id, k6: d.k6, lines: new(sync.Mutex)}
	out := gameday.ScenarioEnd{Dir: rel}
	w, err := record.Create(r.dir, r.header())
	if err == nil {
		err = r.prepare()
	}
	if err != nil {
		return out, err
	}
	end, err := engine.Run(ctx, engine.Config{
		Plan: r.in.plan, Scenario: r.in.scenario, System: r.in.system, Judge: r.in.judge(),
		Env: env, Record: w, Journal: journal, Registry: d.registry(),
		K6: r.k6, Script: r.script(),
		Owner: ownerOf(d.dir), Lease: lease, Heal: heal, Getenv: r.Env,
	})
	if err != nil {
		return out, err
	}
	if _, err := r.conclude(ctx); err != nil {
		return out, err
	}
	res, err := readResult(r.dir)
	out.Verdict, out.Why, out.Dirty = string(res.Verdict), res.Sentence, end.Dirty
	out.Aborted = end.Reason == record.EndAborted || end.Reason == record.EndInterrupted
	return out, err
}

// conclude writes the report and says where it is.
func (d *dayRun) conclude(end record.End) error {
	err := d.writeDayReport(d.dir)
	v, verifyErr := record.Verify(d.dir)
	fmt.Fprintf(d.Stdout, "\n%s  %s%s\n", strings.ToUpper(end.Reason), d.plan.Day, strings.TrimSuffix(": "+end.Error, ": "))
	fmt.Fprintf(d.Stdout, "  report   %s\n  record   %s, %d entries\n  head     %s (note it: squall gameday verify compares it)\n",
		filepath.Join(d.dir, "report.html"), d.dir, v.Entries, v.Head)
	return errors.Join(err, verifyErr)
}
