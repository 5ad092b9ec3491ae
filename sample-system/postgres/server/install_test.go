package server

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFolder: the way to a data folder is open to another user as far as it was
// made here; otherwise the error says what stands in it.
func TestFolder(t *testing.T) {
	top, err := os.MkdirTemp("", "squall-folder-")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(top)) })
	require.NoError(t, os.Chmod(top, 0o711))
	other := &Installation{as: &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid())}}

	path := filepath.Join(top, "data", "postgres", "postgres-1")
	require.NoError(t, other.Folder(path))
	require.NoError(t, other.Folder(path), "it is there already")
	for dir, want := range map[string]os.FileMode{path: 0o700, filepath.Dir(path): 0o711} {
		info, err := os.Stat(dir)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), dir)
	}

	closed := filepath.Join(top, "closed")
	require.NoError(t, os.MkdirAll(filepath.Join(closed, "too"), 0o700))
	err = other.Folder(filepath.Join(closed, "too", "postgres-1"))
	require.ErrorContains(t, err, filepath.Join(closed, "too")+", "+closed+": open it")
	assert.NoError(t, (&Installation{}).Folder(filepath.Join(closed, "own")), "who runs it himself needs no way")
}
