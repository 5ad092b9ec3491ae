package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.log")
	require.NoError(t, os.WriteFile(path, []byte("from an earlier start\n"), 0o600))
	l, err := openLog(path, 1000)
	require.NoError(t, err)
	for i := range 300 {
		_, err := fmt.Fprintf(l, "line %d\n", i)
		require.NoError(t, err)
	}
	require.NoError(t, l.close())

	now, err := os.ReadFile(path)
	require.NoError(t, err)
	old, err := os.ReadFile(path + ".1")
	require.NoError(t, err)
	assert.LessOrEqual(t, len(now), 1000)
	assert.LessOrEqual(t, len(old), 1000)
	assert.True(t, strings.HasPrefix(string(now), "--- squall: log reached 1000 bytes"), "%s", now)
	assert.True(t, strings.HasSuffix(string(now), "line 299\n"))
	_, first, _ := strings.Cut(string(now), "\n")
	var n, m int
	_, err = fmt.Sscanf(first, "line %d", &n)
	require.NoError(t, err)
	_, err = fmt.Sscanf(lastLines(path+".1", 1), "line %d", &m)
	require.NoError(t, err)
	assert.Equal(t, m+1, n, "nothing lost between the two files")
}

// A secret is left out also where it comes in parts, or last.
func TestLogLeavesSecretsOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "orders.log")
	l, err := openLog(path, 1000, launch{Env: []string{"A=planted", "B=other", "PATH=/bin"}, Secrets: []string{"A", "B"}}.hidden()...)
	require.NoError(t, err)
	for _, part := range []string{"is pla", "nted, /bin\nand ", "other\n", "planted"} {
		_, err := l.Write([]byte(part))
		require.NoError(t, err)
	}
	require.NoError(t, l.close())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "is [A], /bin\nand [B]\n[A]", string(text))
}

func TestLogThatCannotBeWrittenDoesNotStopTheService(t *testing.T) {
	l, err := openLog(filepath.Join(t.TempDir(), "orders.log"), 1000)
	require.NoError(t, err)
	require.NoError(t, l.file.Close())
	n, err := l.Write([]byte("hello"))
	require.NoError(t, err)
	assert.Equal(t, 5, n)
	require.Error(t, l.close(), "but it is known")
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	assert.Empty(t, lastLines(path, 3))
	require.NoError(t, os.WriteFile(path, []byte("a\nb\nc\n"), 0o600))
	assert.Equal(t, "b\nc", lastLines(path, 2))
	assert.Equal(t, "a\nb\nc", lastLines(path, 9))
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", 2*tailSize)+"\nend"), 0o600))
	assert.Equal(t, "end", lastLines(path, 9), "a line that begins before the tail is left out")
}
