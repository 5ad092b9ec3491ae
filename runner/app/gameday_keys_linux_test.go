package app_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"squall/runner/app"
	"squall/runner/record"
)

const rows = 40 // of a terminal

// pty is a terminal that a test sits at: keyboard and screen, and what a program has.
func pty(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminals on this machine: %v", err)
	}
	t.Cleanup(func() { _ = person.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(person.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: 160}))
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	return person, program
}

// control is what moves the cursor, or what a test has to know of: a line feed, or a
// sequence with its number.
var control = regexp.MustCompile(`\n|\x1bM|\x1b\[([0-9;?]*)([A-Za-z])`)

// stayedBelow follows the cursor of a program that wrote this to an empty screen,
// and requires that its live view never went above where it began: there stand the
// links to the live page, and whatever the person has done before.
func stayedBelow(t *testing.T, said string) {
	t.Helper()
	require.Contains(t, said, "live page")
	row, top, moves := 0, -1, 0
	for _, m := range control.FindAllStringSubmatch(said, -1) {
		n := 1
		if v, err := strconv.Atoi(m[1]); err == nil {
			n = v
		}
		switch {
		case m[0] == "\n" && row < rows-1:
			row++
		case m[0] == "\n" && top >= 0:
			top = max(0, top-1) // all of it scrolled
		case m[2] == "A":
			row, moves = row-n, moves+1
		case m[0] == "\x1bM":
			row--
		case m[2] == "B":
			row = min(row+n, rows-1)
		case m[2] == "l" && top < 0:
			top = row // the cursor is hidden: the view begins
		}
		require.True(t, m[2] != "H" && m[2] != "d", "to an absolute place: %q", m[0])
		require.GreaterOrEqual(t, row, max(top, 0), "after %q", m[0])
	}
	require.Positive(t, top)
	require.Greater(t, moves, 5)
}

// sits starts the day at a terminal of its own, and returns its keyboard.
func (b *dayBench) sits() (*going, io.Writer) {
	b.t.Helper()
	person, program := pty(b.t)
	screen, err := os.Create(filepath.Join(b.dir, "said.txt"))
	require.NoError(b.t, err)
	g := &going{dayBench: b, out: screen.Name(), done: make(chan error, 1), cmd: b.command("gameday", "run", "small-day.plan.json")}
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.Stderr = program, program, program
	g.cmd.Env = append(g.cmd.Env, "TERM=xterm", "CI=")
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(b.t, g.cmd.Start())
	require.NoError(b.t, program.Close())
	go func() {
		_, _ = io.Copy(screen, person) // ends with an error, as the last program has left
		_ = screen.Close()
		g.done <- g.cmd.Wait()
	}()
	b.t.Cleanup(func() { _ = g.cmd.Process.Kill() })
	return g, person
}

// Whoever sits at the terminal sees the step with its countdown, the guardrails
// and what is broken; says by single keys what is seen and done, is told what makes
// no sense now, and stops it all.
func TestGameDayKeys(t *testing.T) {
	promised(t, time.Second, func() time.Duration { return stoppedByKey(t) })
}

// stoppedByKey says how long it takes from the key to the last fault gone.
func stoppedByKey(t *testing.T) time.Duration {
	b := newDayBench(t, keptGuardrail)
	b.approved()
	g, keyboard := b.sits()
	shows := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			require.Eventually(t, func() bool { return strings.Contains(g.said(), text) }, time.Minute, 20*time.Millisecond, "%s\n%s", text, g.said())
		}
	}
	types := func(keys string) {
		t.Helper()
		_, err := io.WriteString(keyboard, keys)
		require.NoError(t, err)
	}
	shows("steady state is measured", "Everybody is there.", "(1 of 2, next: away)", "g go on")
	types("m")
	shows("no fault stands now")
	types("g")
	shows("guardrail too-bad", "kept is at most 1000", "signal failing", "1:5", " left  ", "⚡ away biting")
	types("dk1")
	shows("did 1 of playbook errors: Look at the edge.")
	types("a")
	run := g.ends(app.ExitAborted)
	g.nothingLeft()
	assert.Contains(t, run.End.Error, "by ana")
	gone, ok := until(run, "away", record.FaultGone)
	require.True(t, ok)
	var said []string
	for _, m := range run.Marks {
		if m.Author == "ana" {
			said = append(said, m.What)
		}
	}
	assert.Equal(t, []string{"approved", "go", "detected", "acknowledged", "did", "abort"}, said)
	shows("ABORTED  small-day")
	stayedBelow(t, g.said())
	return gone - run.Marks[len(run.Marks)-1].T
}
