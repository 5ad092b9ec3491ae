//go:build e2e

package app_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// These tests run the real binary, the real shop and the real k6. They have a
// tag, and a turn of their own in make test, because they measure: beside the
// other packages' tests the load generator would starve.

// short is a scenario on the real shop with the shortest phases that still
// carry enough samples.
const short = `apiVersion: squall/v1
kind: Scenario
metadata: {name: short}
spec:
  hypothesis: A short look.
  system: REPO/sample-system/system.yaml
  load: {script: REPO/scenarios/load/checkout.js, arrival: 20/s}
  phases: {warmup: 1s, baseline: 3s, fault: FAULT, recovery: 2s}
  faults: [{id: f, kind: net-latency, on: ON, params: {latency: 20ms}}]
  steady: [{id: ok, slo: checkout-success, atLeast: 90%}]
  expect: [EXPECT]
`

type bench struct {
	t      *testing.T
	dir    string // working directory
	repo   string
	family map[string]relative // of a run that start began
}

var build = sync.OnceValue(func() error {
	out, err := exec.Command("make", "-C", "../..", "build").CombinedOutput()
	if err != nil {
		return fmt.Errorf("make build: %w: %s", err, out)
	}
	return nil
})

func newBench(t *testing.T) *bench {
	t.Helper()
	require.NoError(t, build())
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	return &bench{t: t, dir: t.TempDir(), repo: repo}
}

// scenario writes the short scenario with one fault and one assertion.
func (b *bench) scenario(on, fault, expect string) string {
	text := strings.NewReplacer("REPO", b.repo, "ON", on, "FAULT", fault, "EXPECT", expect).Replace(short)
	file := filepath.Join(b.dir, "short.yaml")
	require.NoError(b.t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

func (b *bench) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(b.repo, "bin", "squall"), args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "SQUALL_STATE="+filepath.Join(b.dir, "state"), "NO_COLOR=1")
	return cmd
}

// run returns exit code and result of one run.
func (b *bench) run(file string) (int, verdict.Result) {
	b.t.Helper()
	out, err := b.command("run", "--seed", "1", file).CombinedOutput()
	code := exitCode(err)
	saved, globErr := filepath.Glob(filepath.Join(b.dir, "out", "latest", "*", "verdict.json"))
	require.NoError(b.t, globErr)
	require.Len(b.t, saved, 1, "%s", out)
	data, readErr := os.ReadFile(saved[0])
	require.NoError(b.t, readErr)
	var res verdict.Result
	require.NoError(b.t, json.Unmarshal(data, &res))
	b.nothingLeft()
	return code, res
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// nothingLeft requires that no process and no environment of this bench exists.
func (b *bench) nothingLeft() {
	b.t.Helper()
	require.EventuallyWithT(b.t, func(c *assert.CollectT) {
		assert.Empty(c, alive(b.family))
		envs, _ := filepath.Glob(filepath.Join(b.dir, "state", "environments", "*"))
		assert.Empty(c, envs)
	}, 10*time.Second, 20*time.Millisecond)
}

// relative is a process of a run: its command line, and its start time, because
// PIDs are recycled.
type relative struct{ cmdline, start string }

// procStat returns parent and start time (fields 4 and 22 of /proc/PID/stat).
func procStat(pid string) (parent, start string) {
	stat, _ := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	_, rest, ok := strings.Cut(string(stat), ") ") // the name may hold anything
	if f := strings.Fields(rest); ok && len(f) > 19 && f[0] != "Z" {
		return f[1], f[19]
	}
	return "", ""
}

// familyOf finds a process and all its descendants.
func familyOf(pid int) map[string]relative {
	family := map[string]relative{}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for grown := true; grown; {
		grown = false
		for _, p := range procs {
			id := filepath.Base(p)
			parent, start := procStat(id)
			_, known := family[id]
			_, child := family[parent]
			if start != "" && !known && (child || id == strconv.Itoa(pid)) {
				cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline"))
				family[id] = relative{string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})), start}
				grown = true
			}
		}
	}
	return family
}

// alive lists the command lines of those that still run.
func alive(family map[string]relative) (lines []string) {
	for pid, r := range family {
		if _, start := procStat(pid); start == r.start {
			lines = append(lines, r.cmdline)
		}
	}
	return lines
}

func finding(t *testing.T, res verdict.Result, id string) verdict.Finding {
	t.Helper()
	for _, f := range res.Findings {
		if f.ID == id {
			return f
		}
	}
	require.Fail(t, "no finding "+id, "%+v", res.Findings)
	return verdict.Finding{}
}

// Scenarios that must not pass end as they say.
func TestE2ERegressions(t *testing.T) {
	for _, r := range regressions(t) {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			file, err := filepath.Abs(r.file)
			require.NoError(t, err)
			code, res := b.run(file)
			assert.Equal(t, r.code, code, res.Sentence)
			f := finding(t, res, r.by)
			assert.Equal(t, res.Verdict, f.Verdict, "it is the cause: %s", f.Why)
		})
	}
}

// A saved run is judged by an edited assertion, without running anything.
func TestE2ESavedRunIsJudgedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	code, _ := b.run(b.scenario("orders -> payments", "3s", "{id: too-much, slo: checkout-success, below: 10%}"))
	require.Equal(t, 1, code)
	dir := filepath.Join(b.dir, "out", "latest", "short")
	b.scenario("orders -> payments", "3s", "{id: enough, slo: checkout-success, atLeast: 10%}")
	out, err := b.command("judge", dir, "--scenario", "short.yaml").CombinedOutput()
	assert.NoError(t, err, "%s", out)
	page, err := b.command("report", dir, "--format", "html").Output()
	require.NoError(t, err)
	assert.Contains(t, string(page), "enough")
	assert.Less(t, len(page), 500_000)
}

// start runs a long fault and returns once it bites.
func (b *bench) start() (*exec.Cmd, io.Closer) {
	b.t.Helper()
	file := b.scenario("orders -> payments", "60s", "{id: still-ok, slo: checkout-success, atLeast: 50%}")
	cmd := b.command("run", "--output", "json", file)
	out, err := cmd.StdoutPipe()
	require.NoError(b.t, err)
	require.NoError(b.t, cmd.Start())
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e record.Entry
		var f record.Fault
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.Type == record.TypeFault &&
			json.Unmarshal(e.Data, &f) == nil && f.State == record.FaultBiting {
			b.family = familyOf(cmd.Process.Pid)
			return cmd, out
		}
	}
	require.Fail(b.t, "the fault never bit", "%v", cmd.Wait())
	return nil, nil
}

func TestE2EKilledRunnerLeavesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cmd, _ := b.start()
	running := strings.Join(alive(b.family), "\n")
	for _, part := range []string{"supervise", "proxy", "k6", "shop gateway", "shop orders", "shop nats"} {
		require.Contains(t, running, part)
	}
	killed := time.Now()
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	require.Error(t, cmd.Wait())
	b.nothingLeft()
	t.Logf("all is gone %s after the kill", time.Since(killed).Round(time.Millisecond))

	out, err := b.command("run", "short.yaml").CombinedOutput()
	assert.Equal(t, 4, exitCode(err), "a run over an open journal is refused")
	assert.Contains(t, string(out), "squall heal")
	for range 2 {
		out, err = b.command("heal").CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), "nothing is left broken")
	}
	undo, err := os.ReadFile(filepath.Join(undoDir(t, b), "undo.ndjson"))
	require.NoError(t, err)
	assert.Contains(t, string(undo), `"reverted"`)
}

func undoDir(t *testing.T, b *bench) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.dir, "out", "2*", "short"))
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	return dirs[0]
}

func TestE2EInterruptedRunHeals(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cmd, out := b.start()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, err := io.Copy(io.Discard, out.(io.Reader))
	require.NoError(t, err)
	assert.Equal(t, 130, exitCode(cmd.Wait()))
	b.nothingLeft()
	run, err := record.Open(undoDir(t, b))
	require.NoError(t, err)
	require.NotNil(t, run.End)
	assert.Equal(t, record.EndInterrupted, run.End.Reason)
	assert.Empty(t, run.End.Dirty)
	assert.Equal(t, record.FaultGone, run.Faults[len(run.Faults)-1].State)
}

func TestE2ESilentRunnerLosesItsLease(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	cmd, _ := b.start()
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		// The stopped runner itself, and its k6, are all that is left.
		left := alive(b.family)
		assert.Len(c, left, 2, "%q", left)
	}, 10*time.Second, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	require.Error(t, cmd.Wait())
	b.nothingLeft()
}
