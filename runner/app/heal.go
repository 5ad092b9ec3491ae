package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/record"
	"squall/runner/targets/process"
)

func (a *app) healCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "heal",
		Short: "Undo whatever dead runs left: faults, processes, folders (idempotent)",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.heal(c.Context())
		},
	}
}

func (a *app) heal(ctx context.Context) error {
	say := func(line string) { fmt.Fprintln(a.Stdout, line) }
	dead, err := inject.DeadRuns(a.stateDir())
	errs := []error{err}
	for _, run := range dead {
		if err := a.healRun(ctx, run, say); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", run.Dir, err))
		}
	}
	swept, err := process.Sweep(ctx, a.stateDir())
	errs = append(errs, err)
	for _, line := range swept {
		say(line)
	}
	errs = append(errs, a.sweepDays())
	if err := errors.Join(errs...); err != nil {
		return exitError{code: ExitDirty, err: fmt.Errorf("not healed: %w", err)}
	}
	say("nothing is left broken")
	return nil
}

// healRun ends the system of one dead run, then reverts what its journal leaves open.
func (a *app) healRun(ctx context.Context, run inject.DeadRun, say func(string)) (err error) {
	defer func() { err = errors.Join(err, run.Release()) }()
	if err := a.endEnvironments(ctx, ownerOf(run.Dir)); err != nil {
		return err
	}
	journal := filepath.Join(run.Dir, "undo.ndjson")
	err = inject.Heal(ctx, journal, faults.Builtin(), a.findTarget(ctx), say)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // without a journal nothing was injected
		return err
	}
	if err := run.Forget(); err != nil {
		return err
	}
	say("healed run " + run.Dir)
	return nil
}

// settle closes the journal of a runner that died, once a watchdog on this machine
// has reverted what stood in its copy: nothing is left, so no other run need wait
// for heal. A runner that only hangs keeps its journal.
func (a *app) settle(ctx context.Context, owner string, say func(string)) error {
	dead, err := inject.DeadRuns(a.stateDir())
	for _, run := range dead {
		if ownerOf(run.Dir) == owner {
			err = errors.Join(err, a.healRun(ctx, run, say))
		} else {
			err = errors.Join(err, run.Release())
		}
	}
	return err
}

// endEnvironments ends what a dead run's supervisor may still hold: without its
// runner it would end by itself within the lease, but healing does not wait.
func (a *app) endEnvironments(ctx context.Context, owner string) error {
	envs, err := process.List(a.stateDir())
	if err != nil {
		return err
	}
	for _, e := range envs {
		if e.Detached || e.Owner != owner {
			continue
		}
		env, err := process.Attach(ctx, e.Locator)
		if err == nil {
			err = env.Down(ctx)
		}
		if err != nil && !errors.Is(err, faults.ErrGone) {
			return fmt.Errorf("end %s: %w", e.ID, err)
		}
	}
	return nil
}

// refuseOpenJournals stops a run while a dead one has left something to undo.
func (a *app) refuseOpenJournals() error {
	dirs, err := a.openJournals()
	if err != nil || len(dirs) == 0 {
		return err
	}
	return exitError{code: ExitError, err: fmt.Errorf("a run ended and left something to undo: %s\nundo it first: squall heal", strings.Join(dirs, ", "))}
}

// openJournals are the directories of dead runs that left something; those that
// left nothing are forgotten.
func (a *app) openJournals() (dirs []string, err error) {
	dead, err := inject.DeadRuns(a.stateDir())
	for _, run := range dead {
		defer run.Release()
	}
	if err != nil {
		return nil, err
	}
	for _, run := range dead {
		if left(run) {
			dirs = append(dirs, run.Dir)
		} else if err := run.Forget(); err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

// left reports whether a dead run may have left something: an open journal, or
// a world that was not as before. Without either it died with no fault standing,
// and its environment ended with it.
func left(run inject.DeadRun) bool {
	open, err := inject.ReadJournal(filepath.Join(run.Dir, "undo.ndjson"))
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(open) > 0 {
		return true
	}
	rec, err := record.Open(run.Dir)
	return err == nil && rec.End != nil && len(rec.End.Dirty) > 0
}
