package inject

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLock(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	release, err := Lock(state, dir)
	require.NoError(t, err)
	_, err = Lock(state, dir)
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorContains(t, err, fmt.Sprintf("by process %d", os.Getpid()))
	dead, err := DeadRuns(state)
	require.NoError(t, err)
	assert.Empty(t, dead, "we live")

	other, err := Lock(state, t.TempDir())
	require.NoError(t, err, "another run may share the machine")
	require.NoError(t, other())
	require.NoError(t, release())
	again, err := Lock(state, dir)
	require.NoError(t, err)
	require.NoError(t, again())
	left, err := filepath.Glob(filepath.Join(state, "runs", "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// What a process leaves that is killed while it registers is swept, and what one
// is just making is not.
func TestUnfinishedRegistrationsAreSwept(t *testing.T) {
	state := t.TempDir()
	release, err := Lock(state, t.TempDir())
	require.NoError(t, err)
	defer func() { require.NoError(t, release()) }()
	dir := filepath.Join(state, "runs")
	left := filepath.Join(dir, "new-1")
	require.NoError(t, os.WriteFile(left, nil, 0o600))
	making, err := newFile(dir)
	require.NoError(t, err)
	defer making.Close()
	dead, err := DeadRuns(state)
	require.NoError(t, err)
	require.Empty(t, dead)
	require.NoFileExists(t, left)
	require.FileExists(t, making.Name())
}
