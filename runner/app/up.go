package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"squall/faults"
	"squall/runner/targets/process"
)

func (a *app) upCmd() *cobra.Command {
	var defects, switches []string
	var out string
	c := &cobra.Command{
		Use:   "up [SYSTEM-FILE]",
		Short: "Start a system behind its proxies and leave it running (default: sample-system/system.yaml)",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file := filepath.Join("sample-system", "system.yaml")
			if len(args) == 1 {
				file = args[0]
			}
			return a.up(c.Context(), file, out, switches, defects)
		},
	}
	switchFlag(c, &switches)
	c.Flags().StringSliceVar(&defects, "defect", nil, "defects of the system to switch on")
	c.Flags().StringVar(&out, "out", "out", "folder for the logs")
	return c
}

func (a *app) up(ctx context.Context, file, out string, switches, defects []string) error {
	sys, problems := loadSystem(file, choices(switches))
	if len(problems) > 0 {
		return exitError{code: ExitUsage, err: problems}
	}
	if !sys.Started() {
		return usage("up: target %s runs already; squall doctor --system %s says how it is", sys.Spec.Target, file)
	}
	if err := process.MakeStateDir(a.stateDir()); err != nil {
		return err
	}
	id := "up-" + shortID()
	dir := filepath.Join(out, id)
	env := process.New(process.Config{
		System: sys, Defects: defects, RunDir: dir, StateDir: a.stateDir(),
		Self: a.Self, Owner: id, Lease: lease, Detached: true,
	})
	go func() {
		for range env.Events() { // the log folder tells; nobody follows a detached system
		}
	}()
	up, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := env.Up(up); err != nil {
		if ctx.Err() != nil {
			return exitError{code: ExitInterrupted} // and ended, as after any failure
		}
		return fmt.Errorf("up: %w", err)
	}
	fmt.Fprintf(a.Stdout, "logs in %s\n", filepath.Join(dir, "logs"))
	return a.printEnvironments()
}

func shortID() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return hex.EncodeToString(b)
}

func (a *app) printEnvironments() error {
	envs, err := process.List(a.stateDir())
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	for _, e := range envs {
		fmt.Fprintf(t, "%s\t%s\tsince %s\tproxy API %s\n", e.ID, e.System, e.Since.Format(time.TimeOnly), e.ProxyURL)
		for _, s := range e.Services {
			fmt.Fprintf(t, "  %s\t%s\n", s.Name, s.URL)
		}
		for _, edge := range e.Edges {
			fmt.Fprintf(t, "  %s\t%s\n", edge.Name, edge.Listen)
		}
	}
	return t.Flush()
}

func (a *app) downCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "down [ID]...",
		Short: "End systems that 'up' left running (default: all of them)",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, ids []string) error {
			return a.down(c.Context(), ids)
		},
	}
}

func (a *app) down(ctx context.Context, ids []string) error {
	envs, err := process.List(a.stateDir())
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	for _, e := range envs {
		if !e.Detached || len(ids) > 0 && !wanted[e.ID] {
			continue
		}
		delete(wanted, e.ID)
		env, err := process.Attach(ctx, e.Locator)
		if errors.Is(err, faults.ErrGone) {
			continue // it has just ended
		}
		if err != nil {
			return fmt.Errorf("down %s: %w", e.ID, err)
		}
		if err := env.Down(ctx); err != nil {
			return fmt.Errorf("down %s: %w", e.ID, err)
		}
		fmt.Fprintf(a.Stdout, "ended %s\n", e.ID)
	}
	for id := range wanted {
		return usage("down: no running system %q", id)
	}
	return nil
}
