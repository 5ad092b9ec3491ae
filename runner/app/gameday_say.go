package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"squall/runner/gameday"
	"squall/runner/inject"
)

// answerWithin is how long a day may take to answer; abort does not wait longer
// before it takes other ways.
const answerWithin = 2 * time.Second

// gamedaySayCmds are what people can say to a day from another terminal.
func (a *app) gamedaySayCmds() []*cobra.Command {
	all := []struct{ name, what, args, short string }{
		{"note", gameday.Note, "TEXT", "Put a note on the timeline"},
		{"go", gameday.Go, "[TEXT]", "Let the day go on from a wait"},
		{"detected", gameday.Detected, "[TEXT]", "Say that you have seen that something is wrong"},
		{"ack", gameday.Acknowledged, "[TEXT]", "Say that you work on it"},
		{"mitigated", gameday.Mitigated, "[TEXT]", "Say that users do not suffer any more; ends the fault"},
		{"did", gameday.Did, "N", "Tick off a step of the playbook, from 1"},
		{"action", gameday.Action, "TEXT", "Note something to do after the day"},
		{"abort", gameday.Abort, "[REASON]", "Heal at once and end the day, whatever its runner does"},
	}
	var out []*cobra.Command
	for _, k := range all {
		var as, dir string
		c := &cobra.Command{Use: k.name + " " + k.args, Short: k.short, Args: cobra.ArbitraryArgs, RunE: func(c *cobra.Command, args []string) error {
			cmd := gameday.Command{What: k.what, Author: a.author(as), Text: strings.Join(args, " ")}
			if k.what == gameday.Did {
				n, err := strconv.Atoi(cmd.Text)
				if err != nil {
					return usage("did: want the number of a step of the playbook, such as: squall gameday did 2")
				}
				cmd.N, cmd.Text = n, ""
			}
			if err := cmd.Check(); err != nil {
				return usage("%s: %v", k.name, err)
			}
			return a.say(c.Context(), cmd, dir)
		}}
		c.Flags().StringVar(&as, "as", "", "who says it (default $USER)")
		c.Flags().StringVar(&dir, "day", "", "run directory of the day, where several go on")
		out = append(out, c)
	}
	return out
}

func (a *app) gamedayLinkCmd() *cobra.Command {
	var dir string
	var observer bool
	c := &cobra.Command{
		Use:   "link",
		Short: "Print the link of the live page with its token: whoever has it may act, or only look (--observer)",
		RunE: func(*cobra.Command, []string) error {
			day, err := a.findDay(dir)
			if err != nil {
				return err
			}
			token := day.Token
			if observer {
				token = day.Observer
			}
			fmt.Fprintf(a.Stdout, "%s/#%s\n", day.URL, token)
			return nil
		},
	}
	c.Flags().StringVar(&dir, "day", "", "run directory of the day, where several go on")
	c.Flags().BoolVar(&observer, "observer", false, "a link that may only look")
	return c
}

func (a *app) author(as string) string {
	for _, name := range []string{as, a.Env("USER"), a.Env("LOGNAME")} {
		if name != "" {
			return name
		}
	}
	return "somebody"
}

func (a *app) say(ctx context.Context, c gameday.Command, dir string) error {
	day, err := a.findDay(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err = gameday.Call(ctx, day.URL, day.Token, c)
	var refused gameday.Refused
	switch {
	case err == nil:
		fmt.Fprintln(a.Stdout, c.What)
		return nil
	case errors.As(err, &refused):
		return exitError{code: ExitError, err: refused}
	case c.What == gameday.Abort:
		return a.abortDead(context.WithoutCancel(ctx), day, err)
	}
	return fmt.Errorf("the game day in %s does not answer: %w\nend it: squall gameday abort", day.Dir, err)
}

// abortDead ends a day whose runner does not answer: it is dead, or it hangs.
func (a *app) abortDead(ctx context.Context, day dayState, why error) error {
	fmt.Fprintf(a.Stdout, "its runner does not answer (%v)\n", why)
	if alive, err := inject.Alive(a.stateDir(), day.Dir); err != nil {
		return err
	} else if alive {
		// It stops and heals by itself when asked so; what hangs altogether is killed, as its leases would.
		fmt.Fprintf(a.Stdout, "ending process %d\n", day.PID)
		if err := a.endRunner(day); err != nil {
			return fmt.Errorf("%w\n!!! Run this now:\n!!!   kill -9 %d; %s", err, day.PID, a.healCommand())
		}
	}
	return a.heal(ctx)
}

// sweepDays removes what dead days left for other terminals to find them by.
func (a *app) sweepDays() error {
	files, err := filepath.Glob(filepath.Join(globEscape(a.daysDir()), "*.json"))
	for _, f := range files {
		data, readErr := os.ReadFile(f)
		var s dayState
		if readErr != nil || json.Unmarshal(data, &s) != nil {
			continue // just being written, or removed
		}
		alive, aliveErr := inject.Alive(a.stateDir(), s.Dir)
		if err = errors.Join(err, aliveErr); !alive && aliveErr == nil {
			err = errors.Join(err, os.Remove(f))
		}
	}
	return err
}

// endRunner kills a process that holds a day's lock and does not answer.
func (a *app) endRunner(day dayState) error {
	if err := syscall.Kill(day.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %d: %w", day.PID, err)
	}
	for deadline := time.Now().Add(answerWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if alive, err := inject.Alive(a.stateDir(), day.Dir); err != nil || !alive {
			return err
		}
	}
	return fmt.Errorf("process %d does not end", day.PID)
}

// findDay is the one day that goes on, or the one of a directory. Days whose
// runner has ended in peace are not there; those of dead runners are.
func (a *app) findDay(dir string) (dayState, error) {
	files, err := filepath.Glob(filepath.Join(globEscape(a.daysDir()), "*.json"))
	if err != nil {
		return dayState{}, err
	}
	var days []dayState
	for _, f := range files {
		data, err := os.ReadFile(f)
		var s dayState
		if err == nil && json.Unmarshal(data, &s) == nil && (dir == "" || sameDir(dir, s.Dir)) {
			days = append(days, s)
		}
	}
	if len(days) > 1 { // those that left nothing and are dead are not meant
		days = slices.DeleteFunc(days, func(s dayState) bool { return syscall.Kill(s.PID, 0) != nil })
	}
	switch len(days) {
	case 0:
		return dayState{}, usage("no game day goes on")
	case 1:
		return days[0], nil
	}
	dirs := make([]string, len(days))
	for i, s := range days {
		dirs[i] = s.Dir
	}
	return dayState{}, usage("several game days go on, say which with --day: %s", strings.Join(dirs, ", "))
}

func sameDir(a, b string) bool {
	x, xErr := filepath.Abs(a)
	y, yErr := filepath.Abs(b)
	return xErr == nil && yErr == nil && x == y
}

// keyCommands are the keys of the terminal that runs a day.
var keyCommands = map[byte]string{
	'a': gameday.Abort, 'g': gameday.Go, 'd': gameday.Detected, 'k': gameday.Acknowledged, 'm': gameday.Mitigated,
}

const keyHelp = "keys  g go on · d detected · k acknowledged · m mitigated · 1-9 playbook step done · a abort"

// keys listens to single keys where the terminal is a person's.
func (d *dayRun) keys(terminal *terminal) (stop func()) {
	in, ok := d.Stdin.(*os.File)
	if !ok || !d.TTY || d.output == "json" {
		return func() {}
	}
	restore, err := singleKeys(in)
	if err != nil {
		return func() {}
	}
	go func() { // ends with the process: a read from a terminal cannot be taken back
		buf := make([]byte, 1)
		for {
			if _, err := in.Read(buf); err == io.EOF || err != nil {
				return
			}
			c := gameday.Command{What: keyCommands[buf[0]], Author: d.author(d.f.as)}
			if n := int(buf[0] - '0'); n >= 1 && n <= 9 {
				c.What, c.N = gameday.Did, n
			}
			if c.What == "" {
				continue
			}
			if err := d.desk.Say(c); err != nil {
				terminal.say("          " + err.Error())
			}
		}
	}()
	return restore
}
