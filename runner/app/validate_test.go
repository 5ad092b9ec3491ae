package app_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
)

// hostile are texts that are small to write and large to read.
func hostile() map[string]string {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	merges := "m0: &m0 {k0: 1}\n"
	for i := 1; i < 400; i++ {
		merges += fmt.Sprintf("m%d: &m%d {<<: [*m%d, *m%d], k%d: 1}\n", i, i, i-1, i-1, i)
	}
	const most = 1<<20 - 1
	return map[string]string{
		"aliases":       laughs,
		"merges":        merges,
		"self":          "a: &a [*a]\n",
		"nested flow":   strings.Repeat("[", most),
		"nested maps":   strings.Repeat("{a: ", most/4),
		"nested lists":  strings.Repeat("- ", most/2),
		"one key":       strings.Repeat("k", most),
		"many keys":     strings.Repeat("k: 1\n", most/5),
		"one string":    `apiVersion: "` + strings.Repeat("\\x", most/2-8),
		"anchors":       strings.Repeat("- &a 1\n", most/7),
		"documents":     strings.Repeat("---\n", most/4),
		"comments":      strings.Repeat("#\n", most/2),
		"tags":          strings.Repeat("- !!binary x\n", most/13),
		"long comment":  "# " + strings.Repeat("x", 8<<20),
		"large numbers": "apiVersion: " + strings.Repeat("9", most-20),
	}
}

// Whatever it is given, validate ends soon, with a mistake at a place.
func TestHostileFilesEndQuickly(t *testing.T) {
	for name, src := range hostile() {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "s.yaml")
			require.NoError(t, os.WriteFile(file, []byte(src), 0o600))
			done := make(chan string, 1)
			go func() {
				code, _, said := command(t, "validate", file)
				assert.Equal(t, app.ExitUsage, code)
				done <- said
			}()
			select {
			case said := <-done:
				assert.True(t, strings.HasPrefix(said, file+":"), "has its place: %.200s", said)
				assert.Less(t, len(said), 1<<20, "and does not flood the terminal")
			case <-time.After(20 * time.Second): // of a machine that does much else; alone it is a fraction of one
				t.Fatal("still reading")
			}
		})
	}
}

func FuzzValidate(f *testing.F) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(f, err)
	for _, file := range files {
		src, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(src)
	}
	system, err := filepath.Abs("testdata/bad/system")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, src []byte) {
		dir := t.TempDir()
		file := filepath.Join(dir, "s.yaml")
		require.NoError(t, os.Symlink(system, filepath.Join(dir, "system")))
		require.NoError(t, os.WriteFile(file, src, 0o600))
		code, _, said := command(t, "validate", file)
		if code == app.ExitPass {
			code, _, said = command(t, "lint", file)
			require.Contains(t, []int{app.ExitPass, app.ExitFail}, code, said)
			code, _, said = command(t, "plan", "--seed", "1", "--output", "json", file)
			require.Equal(t, app.ExitPass, code, said)
			return
		}
		require.Equal(t, app.ExitUsage, code, said)
		require.NotEmpty(t, bytes.TrimSpace([]byte(said)))
	})
}
