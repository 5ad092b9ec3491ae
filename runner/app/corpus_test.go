package app_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
)

// command runs one command line in this process.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	env := map[string]string{"NO_COLOR": "1", "SQUALL_STATE": t.TempDir()}
	code = app.Run(context.Background(), app.Process{
		Args: args, Env: func(k string) string { return env[k] },
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err, Self: []string{"squall"},
	})
	return code, out.String(), err.String()
}

// Mistakes that only show when scenario, system, SLOs and catalogues are seen
// together; those within one file are the corpus of scenarios/spec.
func TestBadAcrossFiles(t *testing.T) {
	t.Chdir("testdata/bad")
	files, err := filepath.Glob("*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 40)
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".yaml"), func(t *testing.T) {
			code, stdout, got := command(t, "validate", file)
			assert.Equal(t, app.ExitUsage, code)
			assert.Empty(t, stdout)
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", got)
		})
	}
}

// Mistakes of a game day, of its scenarios and its system file, all at once.
func TestBadGameDay(t *testing.T) {
	t.Chdir("testdata/bad/gameday")
	code, stdout, got := command(t, "gameday", "plan", "all-wrong.yaml")
	assert.Equal(t, app.ExitUsage, code)
	assert.Empty(t, stdout)
	golden(t, "all-wrong.txt", got)
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}
