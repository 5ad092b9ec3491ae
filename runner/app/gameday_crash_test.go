package app_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"squall/runner/inject"
)

// crashes are the runs of TestGameDayCrashes; GAMEDAY_CRASH_N asks for more.
func crashes(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("GAMEDAY_CRASH_N"), "3"))
	require.NoError(t, err)
	return n
}

// Wherever a runner is killed, heal finds what it did, and nothing is left.
func TestGameDayCrashes(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	day, err := os.ReadFile(filepath.Join(b.dir, "day.yaml"))
	require.NoError(t, err)
	steps := `  steps:
    - {id: ramp, ramp: {kind: http-error, on: front -> back, each: 300ms, levels: [{status: 500}, {status: 503}]}}
    - {id: pause, fault: {kind: proc-pause, on: back}, for: 300ms}
    - {id: kill, fault: {kind: proc-kill, on: back}, for: 300ms}
`
	b.write("day.yaml", regexp.MustCompile(`(?s)  steps:\n    - \{id: ready.*`).ReplaceAllString(string(day), steps))
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	for _, who := range []string{"ana", "ben"} { // killing all of back is a high risk
		b.must("gameday", "approve", "small-day.plan.json", "--key", who+".key")
	}
	open, whole := 0, 0
	for i := range crashes(t) {
		out := fmt.Sprintf("out-%d", i)
		g := b.start("--out", out)
		after := time.Duration(rand.Int64N(int64(3500 * time.Millisecond)))
		select {
		case <-g.done:
			whole++
		case <-time.After(after):
			require.NoError(t, g.cmd.Process.Kill())
			<-g.done
		}
		dirs, err := filepath.Glob(filepath.Join(b.dir, out, "*"))
		require.NoError(t, err)
		for _, dir := range dirs {
			if lines, err := inject.ReadJournal(filepath.Join(dir, "undo.ndjson")); err == nil && len(lines) > 0 {
				open++
			}
		}
		said := b.must("heal")
		require.Contains(t, said, "nothing is left broken", "killed after %s", after)
		for _, dir := range dirs {
			lines, err := inject.ReadJournal(filepath.Join(dir, "undo.ndjson"))
			if !errors.Is(err, os.ErrNotExist) {
				require.NoError(t, err)
			}
			require.Empty(t, lines, "killed after %s", after)
		}
		for _, folder := range []string{"runs", "gamedays"} {
			left, err := filepath.Glob(filepath.Join(b.state, folder, "*"))
			require.NoError(t, err)
			require.Empty(t, left, "killed after %s: %s", after, folder)
		}
		// A supervisor that was only just beginning is not known to heal yet: it sees its pipe close and ends by itself.
		require.Eventually(t, func() bool {
			left, err := filepath.Glob(filepath.Join(b.state, "environments", "*"))
			return err == nil && len(left) == 0 && len(processesBelow(t, b.dir)) == 0
		}, 10*time.Second, 20*time.Millisecond, "killed after %s", after)
	}
	t.Logf("%d runs: %d killed with a fault open, %d over before", crashes(t), open, whole)
}

// processesBelow are the processes that were told of a folder in their environment.
func processesBelow(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, file := range all {
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte(dir)) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			found = append(found, string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	return found
}
