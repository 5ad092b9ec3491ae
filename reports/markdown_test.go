package reports

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func markdown(t *testing.T, in Input) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Markdown(&b, in))
	return b.String()
}

func TestMarkdownGolden(t *testing.T) {
	in := plot.input(t)
	golden(t, "summary.md", markdown(t, in))
}

func TestMarkdownKeepsHostileTextInItsPlace(t *testing.T) {
	s := plot
	calm := markdown(t, s.input(t))
	s.name = hostile
	in := s.input(t)
	text := markdown(t, in)
	noControl(t, text)
	assert.Equal(t, strings.Count(calm, "\n"), strings.Count(text, "\n"), "no line more than without it")
	lines := strings.Split(strings.TrimSpace(text), "\n")
	rerun := lines[len(lines)-1]
	assert.True(t, strings.HasPrefix(rerun, "    squall run"), "an indented block holds any text: %s", rerun)
	rest := strings.TrimSuffix(strings.TrimSpace(text), strings.TrimSpace(rerun))
	for _, opener := range []string{"<script", "<img", "|`*", " [x"} {
		assert.NotContains(t, rest, opener)
	}
	assert.Equal(t, barsOf(calm), barsOf(rest), "no cell more than without it")
}

// barsOf counts the bars that part cells.
func barsOf(s string) int { return strings.Count(s, "|") - strings.Count(s, `\|`) }

func TestMarkdownIsCutAtALineAndKeepsTheRerun(t *testing.T) {
	in := plot.input(t)
	for range 3000 {
		f := in.Result.Findings[4]
		f.Why = strings.Repeat("ü", 400)
		in.Result.Findings = append(in.Result.Findings, f)
	}
	text := markdown(t, in)
	assert.LessOrEqual(t, len(text), maxMarkdown)
	assert.Greater(t, len(text), maxMarkdown-2000)
	assert.True(t, utf8.ValidString(text))
	assert.Contains(t, text, "|\n\ncut: longer")
	assert.True(t, strings.HasSuffix(text, "    squall run --seed 7 scenarios/psp-slow.yaml\n"))
}

func TestCut(t *testing.T) {
	assert.Equal(t, "short", cut("short", 5))
	for most := 60; most < 70; most++ { // one line: only a rune boundary to cut at
		got := cut(strings.Repeat("ü", 100), most)
		assert.True(t, utf8.ValidString(got), "%d: %q", most, got)
		assert.LessOrEqual(t, len(got), most)
	}
}
