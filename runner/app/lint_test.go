package app_test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
	"squall/runner/lint"
)

var ruleName = regexp.MustCompile(`(?m) \[([a-z-]+)\]$`)

// Every rule has a scenario that it finds, and one much like it that it does not.
func TestLintRules(t *testing.T) {
	t.Chdir("../lint/testdata")
	for _, rule := range lint.Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			code, _, found := command(t, "lint", filepath.Join(rule.Name, "hit.yaml"))
			assert.Equal(t, app.ExitFail, code)
			assert.Contains(t, found, "["+rule.Name+"]\n")
			for _, other := range ruleName.FindAllStringSubmatch(found, -1) {
				assert.Equal(t, rule.Name, other[1], "no other rule")
			}
			golden(t, filepath.Join(rule.Name, "hit.txt"), found)

			code, _, found = command(t, "lint", filepath.Join(rule.Name, "miss.yaml"))
			assert.Equal(t, app.ExitPass, code, found)
			assert.Empty(t, found)
			assert.NotEmpty(t, rule.Summary)
			assert.NotEmpty(t, rule.Doc)
		})
	}
	code, _, found := command(t, "lint", "ignored/miss.yaml")
	assert.Equal(t, app.ExitPass, code, found)
}

// The scenarios that come with squall, also those not yet proven, are examples to
// copy: whatever lint says of them is a mistake in one of the two.
func TestLintShippedScenarios(t *testing.T) {
	t.Chdir("../..")
	code, stdout, found := command(t, "lint", "scenarios")
	require.Equal(t, app.ExitPass, code, found)
	assert.Empty(t, found)
	assert.Greater(t, strings.Count(stdout, ": ok: "), 20)
}
