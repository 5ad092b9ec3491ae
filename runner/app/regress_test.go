package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/scenarios/spec"
)

// regression is a scenario of scenarios/regress, and how it must end.
type regression struct {
	file, name string
	code       int
	by         string // the finding that must not be pass
}

var mustEnd = regexp.MustCompile(`(?m)^# Must end with exit code (\d+), by ([a-z0-9:-]+)\.$`)

func regressions(t *testing.T) (all []regression) {
	t.Helper()
	files, err := filepath.Glob("../../scenarios/regress/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		says := mustEnd.FindSubmatch(text)
		require.NotNil(t, says, "%s does not say how it must end", file)
		code, err := strconv.Atoi(string(says[1]))
		require.NoError(t, err)
		sc, problems := spec.Load(file)
		require.Empty(t, problems)
		all = append(all, regression{file, sc.Metadata.Name, code, string(says[2])})
	}
	return all
}

// Each kind of verdict that is no pass has a scenario that must end with it;
// test-e2e runs them.
func TestRegressionsCoverTheVerdicts(t *testing.T) {
	codes := map[int]bool{}
	for _, r := range regressions(t) {
		assert.Equal(t, r.name+".yaml", filepath.Base(r.file))
		codes[r.code] = true
	}
	assert.Equal(t, map[int]bool{1: true, 3: true, 4: true, 5: true}, codes)
}
