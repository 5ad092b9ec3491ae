package inject

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDeadRunIsFoundOnceItsProcessIsKilled(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	c := exec.CommandContext(t.Context(), os.Args[0], "lock", state, dir)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", line)
	assert.Empty(t, deadRuns(t, state), "it lives")

	require.NoError(t, c.Process.Kill())
	require.Error(t, c.Wait())
	for range 2 { // looking changes nothing
		dead := deadRuns(t, state)
		require.Len(t, dead, 1)
		assert.Equal(t, dir, dead[0].Dir)
		require.NoError(t, dead[0].Release())
	}
	dead := deadRuns(t, state)
	require.Len(t, dead, 1)
	require.NoError(t, dead[0].Forget())
	assert.Empty(t, deadRuns(t, state))
}

func deadRuns(t *testing.T, state string) []DeadRun {
	t.Helper()
	dead, err := DeadRuns(state)
	require.NoError(t, err)
	return dead
}

// registered is a lock file that nobody holds, as a dead run leaves it.
func registered(t *testing.T, state, name, content string) string {
	t.Helper()
	dir := filepath.Join(state, "runs")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	path := filepath.Join(dir, name+".json")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// dies is a run that registered and was killed.
func dies(t *testing.T, state, dir string) {
	t.Helper()
	live, err := Lock(state, dir)
	require.NoError(t, err)
	paths, err := filepath.Glob(filepath.Join(state, "runs", "*.json"))
	require.NoError(t, err)
	require.Len(t, paths, 1)
	data, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	require.NoError(t, live())
	require.NoError(t, os.WriteFile(paths[0], data, 0o600))
}

func TestADeadRunIsInOneHand(t *testing.T) {
	state := t.TempDir()
	registered(t, state, "a", `{"dir":"/a","pid":1}`)
	first := deadRuns(t, state)
	require.Len(t, first, 1)
	assert.Empty(t, deadRuns(t, state), "another heals it")
	require.NoError(t, first[0].Release())
	require.NoError(t, first[0].Release(), "again")
	second := deadRuns(t, state)
	require.Len(t, second, 1)
	assert.ErrorIs(t, first[0].Forget(), os.ErrClosed, "it is the second's now")
	require.NoError(t, second[0].Forget())
	require.NoError(t, second[0].Release(), "released with everything else")
	assert.Empty(t, deadRuns(t, state))
}

func TestManyAtOnceTakeADeadRunOnce(t *testing.T) {
	state := t.TempDir()
	registered(t, state, "a", `{"dir":"/a","pid":1}`)
	var wg sync.WaitGroup
	taken := make(chan DeadRun, 16)
	for range cap(taken) {
		wg.Go(func() {
			dead, err := DeadRuns(state)
			assert.NoError(t, err)
			for _, d := range dead {
				taken <- d
				assert.NoError(t, d.Forget())
			}
		})
	}
	wg.Wait()
	assert.Len(t, taken, 1)
}

// The name may be free, or another run's, by the time that it is forgotten.
func TestForgetRemovesOnlyItsOwn(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	dies(t, state, dir)
	dead := deadRuns(t, state)
	require.Len(t, dead, 1)
	path := dead[0].lock.Name()
	require.NoError(t, os.Remove(path))
	release, err := Lock(state, dir)
	require.NoError(t, err)
	require.NoError(t, dead[0].Forget())
	assert.FileExists(t, path, "a live run's")
	require.NoError(t, release())

	dies(t, state, dir)
	dead = deadRuns(t, state)
	require.Len(t, dead, 1)
	require.NoError(t, os.Remove(path))
	require.NoError(t, dead[0].Forget(), "nothing is left to forget")
}

// One that looked while the run ended holds a file that has lost its name.
func TestAFileWithoutItsNameIsNoDeadRun(t *testing.T) {
	for name, renamed := range map[string]bool{"gone": false, "another's": true} {
		t.Run(name, func(t *testing.T) {
			path := registered(t, t.TempDir(), "a", `{"dir":"/a"}`)
			f, err := os.Open(path)
			require.NoError(t, err)
			defer f.Close()
			require.NoError(t, os.Remove(path))
			if renamed {
				require.NoError(t, os.WriteFile(path, []byte(`{"dir":"/a"}`), 0o600))
			}
			d, err := takeDead(f)
			require.NoError(t, err)
			assert.Nil(t, d)
		})
	}
}

func TestAnUnreadableLockFileDoesNotHideTheOthers(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":    {"", "EOF"},
		"rubbish":  {"rubbish", "invalid character"},
		"nameless": {"{}", `run directory "" is not absolute`},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			registered(t, state, "a", `{"dir":"/a"}`)
			bad := registered(t, state, "b", c.text)
			registered(t, state, "c", `{"dir":"/c"}`)
			for range 2 { // and is not kept locked
				dead, err := DeadRuns(state)
				assert.ErrorContains(t, err, "lock file "+bad+": "+c.want)
				require.Len(t, dead, 2)
				assert.Equal(t, "/a", dead[0].Dir)
				assert.Equal(t, "/c", dead[1].Dir)
				for _, d := range dead {
					require.NoError(t, d.Release())
				}
			}
		})
	}
}
