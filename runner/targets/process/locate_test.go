package process

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// startRunner starts a runner of its own and returns once its system is up.
func startRunner(t *testing.T, dir, lease string, more ...string) (*exec.Cmd, json.RawMessage) {
	t.Helper()
	return startRole(t, append([]string{"runner", dir, lease}, more...)...)
}

// startRole returns the process and the first line that it says.
func startRole(t *testing.T, args ...string) (*exec.Cmd, []byte) {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	require.NoError(t, err)
	return cmd, line
}

func TestKilledRunnerTakesAllWithIt(t *testing.T) {
	runner, where := startRunner(t, t.TempDir(), "1m")
	trail := trailOf(t, where)
	require.NoError(t, runner.Process.Kill())
	trail.requireGone(t) // long before the lease: the pipe tells
}

// Nobody is left to see how a service ends: it is not waited for.
func TestOrphansAreNotWaitedFor(t *testing.T) {
	runner, where := startRunner(t, t.TempDir(), "1h", "stubborn")
	trail := trailOf(t, where)
	require.NoError(t, runner.Process.Kill())
	trail.requireGone(t)
}

func TestSilentRunnerLosesItsLease(t *testing.T) {
	dir := t.TempDir()
	runner, where := startRunner(t, dir, "500ms")
	trail := trailOf(t, where)
	require.NoError(t, runner.Process.Signal(syscall.SIGSTOP))
	trail.requireGone(t)
	log, err := os.ReadFile(filepath.Join(dir, "run", "logs", supervisorName+".log"))
	require.NoError(t, err)
	assert.Contains(t, string(log), "no heartbeat of the runner for 500ms")
}

func TestTerminatedSupervisorEndsInOrder(t *testing.T) {
	_, where := startRunner(t, t.TempDir(), "1m")
	trail := trailOf(t, where)
	require.NoError(t, signalExactly(trail.Supervisor, syscall.SIGTERM))
	trail.requireGone(t)
}

func TestKilledSupervisorIsSweptUp(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	_, where := startRunner(t, dir, "1m")
	trail := trailOf(t, where)
	other := up(t, testConfig(dir, longLease))

	require.NoError(t, signalExactly(trail.Supervisor, syscall.SIGKILL))
	require.Eventually(t, func() bool { return !trail.alive() }, soon, often)
	for name, id := range trail.Processes {
		require.Eventually(t, func() bool { return stateOf(id) == stateDead }, soon, often, name)
	}
	_, err := Attach(t.Context(), where)
	require.ErrorIs(t, err, faults.ErrGone)

	did, err := Sweep(t.Context(), state)
	require.NoError(t, err)
	assert.Equal(t, []string{"removed environment " + trail.ID}, did)
	trail.requireGone(t)
	did, err = Sweep(t.Context(), state)
	require.NoError(t, err)
	assert.Empty(t, did, "again")
	live, err := List(state)
	require.NoError(t, err)
	require.Len(t, live, 1, "the other one is left alone")
	assert.JSONEq(t, string(other.Locator()), string(live[0].Locator))
}

func TestSweepKillsLeftoversAndStraysOnly(t *testing.T) {
	stateDir := t.TempDir()
	folder := filepath.Join(environmentsDir(stateDir), "dead")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	leftover, stray, innocent := sleeper(t, ""), sleeper(t, markVariable+"=dead"), sleeper(t, markVariable+"=deadly")
	recycled := innocent
	recycled.Start++
	s := stateFile{Supervisor: recycled, Processes: map[string]faults.ProcessID{"front": leftover, "back": recycled}}
	require.NoError(t, s.write(folder))

	did, err := Sweep(t.Context(), stateDir)
	require.NoError(t, err)
	require.Len(t, did, 3)
	assert.Contains(t, did[0], "killed front")
	assert.Contains(t, did[1], "a stray of environment dead")
	for _, id := range []faults.ProcessID{leftover, stray} {
		require.Eventually(t, func() bool { return stateOf(id) == stateDead }, soon, often)
	}
	assert.Equal(t, stateRunning, stateOf(innocent))
	assert.NoDirExists(t, folder)
}

// sleeper is a process that does nothing until the test ends.
func sleeper(t *testing.T, env string) faults.ProcessID {
	t.Helper()
	cmd := exec.Command(os.Args[0], "serve", "127.0.0.1:0")
	cmd.Env = []string{env}
	// Its first output shows that it is past exec and has its own environment.
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	id, err := identify(cmd.Process.Pid)
	require.NoError(t, err)
	return id
}

func TestSweepWaitsForFoldersThatAreBeingMade(t *testing.T) {
	stateDir := t.TempDir()
	folder := filepath.Join(environmentsDir(stateDir), "new")
	require.NoError(t, os.MkdirAll(folder, 0o700))
	did, err := Sweep(t.Context(), stateDir)
	require.NoError(t, err)
	assert.Empty(t, did)

	old := time.Now().Add(-2 * staleAfter)
	require.NoError(t, os.Chtimes(folder, old, old))
	did, err = Sweep(t.Context(), stateDir)
	require.NoError(t, err)
	assert.Equal(t, []string{"removed environment new"}, did)
}

func TestSweepAndListWithoutAnything(t *testing.T) {
	stateDir := filepath.Join(t.TempDir(), "none")
	did, err := Sweep(t.Context(), stateDir)
	require.NoError(t, err)
	assert.Empty(t, did)
	live, err := List(stateDir)
	require.NoError(t, err)
	assert.Empty(t, live)
}

func TestDetachedEnvironmentIsFoundAndEndedByAnother(t *testing.T) {
	cfg := testConfig(t.TempDir(), 300*time.Millisecond)
	cfg.Detached = true
	env := up(t, cfg)
	trail := trailOf(t, env.Locator())
	require.NoError(t, env.session().lifeline.Close(), "as if the process that brought it up were gone")

	live, err := List(cfg.StateDir)
	require.NoError(t, err)
	require.Len(t, live, 1)
	info := live[0]
	assert.Equal(t, trail.ID, info.ID)
	assert.Equal(t, "pair", info.System)
	assert.True(t, info.Detached)
	assert.Equal(t, env.Services()[0].URL, info.Services[0].URL)
	assert.NotZero(t, info.Services[0].PID)
	assert.Equal(t, "http://"+info.Edges[0].Listen, env.ClientEnv()["FRONT_URL"])

	other, err := Attach(t.Context(), info.Locator)
	require.NoError(t, err)
	target, err := other.Target("back")
	require.NoError(t, err)
	_, err = target.(faults.Process).Identity(t.Context())
	require.NoError(t, err)
	here, err := env.Snapshot(t.Context())
	require.NoError(t, err)
	there, err := other.Snapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, here, there)

	require.NoError(t, other.Down(t.Context()))
	trail.requireGone(t)
	require.NoError(t, other.Down(t.Context()), "again")
	_, err = Attach(t.Context(), info.Locator)
	require.ErrorIs(t, err, faults.ErrGone)
}

// A system that is kept outlives whoever injects into it: what was killed or
// paused there comes back when the lease runs out, and not before.
func TestKeptSystemIsRestoredAfterItsRunner(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	cfg.Detached = true
	env := up(t, cfg)
	before, err := env.Snapshot(t.Context())
	require.NoError(t, err)
	const lease = 500 * time.Millisecond
	for kind, state := range map[string]string{"proc-kill": stateDead, "proc-term": stateDead, "proc-pause": stateStopped} {
		t.Run(kind, func(t *testing.T) {
			runner, undo := startRole(t, "injector", string(env.Locator()), kind, lease.String())
			is := func() string {
				now, err := env.Snapshot(t.Context())
				require.NoError(t, err)
				return now["process back"]
			}
			require.Never(t, func() bool { return is() != state }, 3*lease, often, "it is renewed")
			require.NoError(t, runner.Process.Kill())
			require.Eventually(t, func() bool {
				now, err := env.Snapshot(t.Context())
				return err == nil && assert.ObjectsAreEqual(before, now)
			}, soon, often)

			target, err := env.Target("back")
			require.NoError(t, err)
			require.NoError(t, faults.Builtin()[kind].Revert(t.Context(), faults.Injection{ID: "f", Target: target}, undo), "heal comes late")
			now, err := env.Snapshot(t.Context())
			require.NoError(t, err)
			assert.Equal(t, before, now)
		})
	}
}

func TestDetachedEnvironmentOutlivesItsLease(t *testing.T) {
	cfg := testConfig(t.TempDir(), 50*time.Millisecond)
	cfg.Detached = true
	env := up(t, cfg)
	trail := trailOf(t, env.Locator())
	require.Never(t, func() bool { return !trail.alive() }, 5*cfg.Lease, often)
}

func TestAttachRefusesOtherLocators(t *testing.T) {
	for _, text := range []string{`{}`, `{"kind":"compose","folder":"/x"}`, `nonsense`, `{"kind":"process"}`} {
		_, err := Attach(t.Context(), json.RawMessage(text))
		require.ErrorContains(t, err, "not one of a process target", text)
		require.NotErrorIs(t, err, faults.ErrGone)
	}
}

func TestStateFileIsPrivate(t *testing.T) {
	env := up(t, testConfig(t.TempDir(), longLease))
	info, err := os.Stat(stateFilePath(env.session().folder))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	others := os.FileMode(0)
	if os.Geteuid() == 0 {
		others = 0o011 // a service may hand work to another user, who passes through to it
	}
	folder := env.session().folder
	for path, want := range map[string]os.FileMode{
		folder: 0o700 | others, filepath.Join(folder, "data"): 0o700 | others, filepath.Join(folder, "data", "back"): 0o700 | others,
		sharedFolder(folder): 0o700,
	} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), path)
	}
	assert.NotContains(t, string(env.Locator()), env.session().world.ctl.token)
}
