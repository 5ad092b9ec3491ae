package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A program's image is made once; those of older contents do not pile up.
func TestOldImagesGo(t *testing.T) {
	if exec.Command("docker", "info").Run() != nil {
		t.Skip("there is no docker")
	}
	const name = "squall-test-image"
	c, err := client()
	require.NoError(t, err)
	t.Cleanup(func() { forget(c, name, "", time.Now().Add(time.Hour)) })
	program := filepath.Join(t.TempDir(), "program")
	image := func(content string) string {
		require.NoError(t, os.WriteFile(program, []byte(content), 0o600))
		tag, err := ImageOf(t.Context(), name, program)
		require.NoError(t, err)
		return tag
	}
	first, second := image("one"), image("two")
	assert.Equal(t, second, image("two"))
	assert.True(t, HasImage(t.Context(), first), "made today")
	forget(c, name, second, time.Now().Add(time.Hour))
	assert.False(t, HasImage(t.Context(), first))
	assert.True(t, HasImage(t.Context(), second))
}
