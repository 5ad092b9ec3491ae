// Package app is the command line: one file per command, and the wiring of all
// other packages. Commands see the process only through Process, so tests run
// them in-process.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"squall/scenarios/spec"
)

// Process is everything a command may know of the process it runs in.
type Process struct {
	Args   []string
	Env    func(string) string
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Self   []string // argv prefix that starts this program again
	TTY    bool     // Stdout is a terminal
}

// FromOS is the real process.
func FromOS() Process {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return Process{
		Args: os.Args[1:], Env: os.Getenv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		Self: []string{self}, TTY: term.IsTerminal(int(os.Stdout.Fd())),
	}
}

// Exit codes, stable (README, "Exit codes").
const (
	ExitPass         = 0
	ExitFail         = 1
	ExitUsage        = 2
	ExitInconclusive = 3
	ExitError        = 4
	ExitAborted      = 5
	ExitDirty        = 6
	ExitInterrupted  = 130
)

// exitError carries the exit code of a command that has said all there is to say.
type exitError struct {
	code int
	err  error // nil: already reported
}

func (e exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitError) Unwrap() error { return e.err }

// usage marks a mistake of the user: exit code 2.
func usage(format string, args ...any) error {
	return exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// Main runs one command line and returns its exit code.
func Main(p Process) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// A reader that has left (| head) makes our writes fail; it must not end us
	// before we have healed. Notify, not Ignore: children would inherit that.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	return Run(ctx, p)
}

// Run is Main under a context of the caller's: its end means interrupt.
func Run(ctx context.Context, p Process) int {
	p.Stdout = &lockedWriter{w: p.Stdout} // runs in parallel share it
	a := &app{Process: p}
	root := a.root()
	root.SetArgs(p.Args)
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitPass
	}
	var exit exitError
	if !errors.As(err, &exit) {
		exit = exitError{code: ExitError, err: err}
	}
	if exit.err != nil {
		a.complain(exit.err)
	}
	return exit.code
}

// complain prints an error; problems in files with their excerpt, or a line of JSON each.
func (a *app) complain(err error) {
	var ps spec.Problems
	switch {
	case !errors.As(err, &ps):
		fmt.Fprintf(a.Stderr, "squall: %v\n", err)
	case a.output == "json":
		for _, p := range ps {
			writeJSONLine(a.Stdout, p)
		}
	default:
		ps.Format(a.Stderr, os.ReadFile)
	}
}

type app struct {
	Process
	output string // --output
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "squall",
		Short: "Chaos and resilience testing: green only if a fault really happened and was survived",
		Long: `Squall boots a system behind link proxies, drives load, injects faults, judges
SLOs and resilience mechanisms, and leaves nothing broken.

  squall run scenarios            run every scenario of a folder
  squall plan scenarios/x.yaml    what would happen, without touching anything
  squall explain net-latency      reference of a fault or check kind`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       versions()["squall"],
		Args: func(root *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, c := range root.Commands() {
				names = append(names, c.Name())
			}
			return usage("unknown command %q%s\nsee: squall --help", args[0], meant(args[0], names))
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetVersionTemplate(fmt.Sprintf("squall {{.Version}} (%s, %s)\n", versions()["go"], versions()["os"]))
	root.PersistentFlags().StringVar(&a.output, "output", "auto", "auto, tty, plain or json")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usage("%v\nsee: %s --help", err, c.CommandPath())
	})
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		switch a.output {
		case "auto", "tty", "plain", "json":
			return nil
		}
		return usage("--output %q: want auto, tty, plain or json", a.output)
	}
	cobra.EnableCommandSorting = false // what is used first comes first
	for _, g := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Write scenarios:", []*cobra.Command{a.initCmd(), a.newCmd(), a.importCmd(), a.validateCmd(), a.lintCmd(), a.planCmd()}},
		{"Run and judge:", []*cobra.Command{a.runCmd(), a.proveCmd(), a.judgeCmd()}},
		{"Read results:", []*cobra.Command{a.reportCmd(), a.compareCmd(), a.historyCmd(), a.exportCmd()}},
		{"Systems:", []*cobra.Command{a.upCmd(), a.downCmd(), a.healCmd(), a.doctorCmd(), a.proxyCmd(), a.watchdogCmd(), a.superviseCmd(), a.diskCmd()}},
		{"Game days:", []*cobra.Command{a.gamedayCmd()}},
		{"Look up:", []*cobra.Command{a.explainCmd(), a.listCmd(), a.schemaCmd(), a.completionCmd()}},
	} {
		root.AddGroup(&cobra.Group{ID: g.title, Title: g.title})
		for _, c := range g.commands {
			c.GroupID, c.Args = g.title, usageArgs(c.Args)
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("Look up:")
	complete(root)
	return root
}

// usageArgs turns a wrong number of arguments into exit code 2.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if check == nil {
			check = cobra.NoArgs
		}
		if err := check(c, args); err != nil {
			return usage("%s: %v\nusage: %s\nsee: %s --help", c.Name(), err, c.UseLine(), c.CommandPath())
		}
		return nil
	}
}

// meant is a hint for a word that is none of those known.
func meant(word string, known []string) string {
	if s := spec.Suggest(word, known); s != "" {
		return fmt.Sprintf(" (did you mean %q?)", s)
	}
	return ""
}

// colour reports whether output may carry colour.
func (a *app) colour() bool {
	return a.Env("NO_COLOR") == "" && (a.output == "tty" || a.output == "auto" && a.live())
}

// live reports whether output is a terminal a person watches.
func (a *app) live() bool {
	return a.output == "tty" || a.output == "auto" && a.TTY && a.Env("CI") == "" && a.Env("TERM") != "dumb"
}

// stateDir holds what must survive a dead run: environments and locks.
func (a *app) stateDir() string { return stateDir(a.Env, os.Geteuid()) }

// stateDir of root is a system's, as its home is usually closed to others: a
// service may have to hand its data to another user, as PostgreSQL demands.
func stateDir(env func(string) string, uid int) string {
	if d := env("SQUALL_STATE"); d != "" {
		return d
	}
	if d := env("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "squall")
	}
	if uid == 0 {
		return "/var/lib/squall"
	}
	if d := env("HOME"); d != "" {
		return filepath.Join(d, ".local", "state", "squall")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("squall-%d", uid))
}

// cacheDir holds what can be made again: the k6 binary.
func (a *app) cacheDir() string {
	if d := a.Env("XDG_CACHE_HOME"); d != "" {
		return filepath.Join(d, "squall")
	}
	return filepath.Join(a.Env("HOME"), ".cache", "squall")
}
