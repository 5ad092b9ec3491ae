package process

import (
	"bufio"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

const statTail = " 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3"

func TestParseStat(t *testing.T) {
	for name, tc := range map[string]struct {
		line string
		want stat
		fail bool
	}{
		"plain":                {line: "77 (shop) S" + statTail, want: stat{'S', 4194560, 4711}},
		"parentheses, spaces":  {line: "77 (a) R 1 (b c) T" + statTail, want: stat{'T', 4194560, 4711}},
		"too short":            {line: "77 (shop) S 1 2 3", fail: true},
		"no name":              {line: "77 S" + statTail, fail: true},
		"start is not a count": {line: "77 (shop) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 x 2 3", fail: true},
		"flags are no count":   {line: "77 (shop) S 1 77 77 0 -1 x 1 0 0 0 0 0 0 0 20 0 1 0 4711 2 3", fail: true},
		"empty":                {fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseStat([]byte(tc.line))
			assert.Equal(t, tc.fail, err != nil)
			assert.Equal(t, tc.want, got)
		})
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("77 (shop) S" + statTail))
	f.Add([]byte("77 (a) b) Z" + statTail))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, line []byte) {
		if got, err := parseStat(line); err != nil {
			assert.Equal(t, stat{}, got)
		}
	})
}

func TestSignalExactlySparesOthers(t *testing.T) {
	id := sleeper(t, "")
	for _, wrong := range []faults.ProcessID{{PID: id.PID, Start: id.Start + 1}, {PID: id.PID}, {PID: 1 << 30, Start: 1}, {}} {
		require.ErrorIs(t, signalExactly(wrong, syscall.SIGKILL), faults.ErrNotRunning)
	}
	assert.Equal(t, stateRunning, stateOf(id))
	require.NoError(t, signalExactly(id, syscall.SIGKILL))
	require.Eventually(t, func() bool { return stateOf(id) == stateDead }, soon, often)
	require.ErrorIs(t, signalExactly(id, syscall.SIGKILL), faults.ErrNotRunning, "a zombie is dead")
}

func TestIdentifySelf(t *testing.T) {
	id, err := identify(os.Getpid())
	require.NoError(t, err)
	assert.NotZero(t, id.Start)
	assert.Equal(t, stateRunning, stateOf(id))
}

// The parent-death signal comes when the starting thread ends. A goroutine that
// ends while locked takes its thread along, so this ends every thread that
// nobody holds, as the runtime may at any time.
func TestSpawnerKeepsItsThread(t *testing.T) {
	spawn := newSpawner()
	cmd := exec.Command(os.Args[0], "serve", "127.0.0.1:0")
	cmd.SysProcAttr = childAttr()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, spawn.start(cmd))
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	id, err := identify(cmd.Process.Pid)
	require.NoError(t, err)

	var ends sync.WaitGroup
	for range 100 {
		ends.Go(runtime.LockOSThread)
	}
	ends.Wait()
	second := exec.Command(os.Args[0], "crash")
	require.NoError(t, spawn.start(second))
	require.Error(t, second.Wait())
	assert.Equal(t, stateRunning, stateOf(id))

	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	spawn.close()
	require.ErrorIs(t, spawn.start(exec.Command("true")), errSpawnerClosed)
}
