package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
)

func TestReferenceIsUpToDate(t *testing.T) {
	code, want, said := command(t, "explain", "all")
	require.Equal(t, app.ExitPass, code, said)
	got, err := os.ReadFile("../../docs/REFERENCE.md")
	require.NoError(t, err)
	assert.True(t, string(got) == want, "run make schema")
	for _, name := range []string{"### net-latency", "### breaker", "### weak-fault", "`spec.faults.kind`"} {
		assert.Contains(t, want, name)
	}
}

var fence = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")

// blocks are the code blocks of a page in a language.
func blocks(t *testing.T, page, language string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[1] == language {
			out = append(out, m[2])
		}
	}
	return out
}

// shellWords splits a command line as a shell does, as far as the pages need.
func shellWords(line string) (words []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|(\S+)`).FindAllStringSubmatch(line, -1) {
		words = append(words, m[1]+m[2])
	}
	return words
}

// commands are the squall commands of a page, each on one line.
func commands(t *testing.T, page string) (out []string) {
	t.Helper()
	for _, b := range blocks(t, page, "sh") {
		for _, line := range strings.Split(strings.ReplaceAll(b, "\\\n", " "), "\n") {
			if strings.HasPrefix(line, "squall ") {
				out = append(out, line)
			}
		}
	}
	return out
}

func pages(t *testing.T) []string {
	t.Helper()
	top, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	how, err := filepath.Glob("../../docs/how-to/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, how)
	return append(top, how...)
}

// The commands of every page work, one after the other, in the project that the
// tutorial begins or, of a page about compose projects, beside a compose file.
// What would start a system is planned instead, and what asks for a container
// engine is left out: TestE2ETutorial and TestE2EComposeProject, of the end-to-end
// tests, do all of it.
func TestCommandsOfTheDocs(t *testing.T) {
	begin := commands(t, "../../docs/tutorial.md")[0]
	require.True(t, strings.HasPrefix(begin, "squall init"), begin)
	project, err := os.ReadFile("../../docs/tutorial/docker-compose.yml")
	require.NoError(t, err)
	all := map[string][]string{}
	for _, page := range pages(t) {
		all[page] = commands(t, page)
	}
	ran := 0
	for page, lines := range all {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Chdir(t.TempDir())
			require.NoError(t, os.WriteFile("docker-compose.yml", project, 0o600))
			if len(lines) > 0 && lines[0] != begin && filepath.Base(page) != "compose.md" {
				lines = append([]string{begin}, lines...)
			}
			for _, line := range lines {
				words := shellWords(line)[1:]
				switch words[0] {
				case "run":
					words = append(words, "--dry-run")
				case "doctor":
					continue
				}
				code, _, said := command(t, words...)
				require.Equal(t, app.ExitPass, code, "%s\n%s", line, said)
				ran++
			}
		})
	}
	assert.Greater(t, ran, 15)
}

// The page of the game day, as far as it goes without a system: a key and an
// approver are added as it says, the day is planned, refused, approved. What acts on
// a day that goes on is known by name and flags; TestE2EPlaybook goes through one.
func TestGameDayPage(t *testing.T) {
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("there is no ssh-keygen")
	}
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	steps := blocks(t, "../../docs/gameday.md", "sh")
	t.Chdir(t.TempDir())
	for _, folder := range []string{"sample-system", "scenarios"} {
		require.NoError(t, os.CopyFS(folder, os.DirFS(filepath.Join(repo, folder))))
	}
	out, err := exec.Command("bash", "-ec", steps[0]).CombinedOutput()
	require.NoError(t, err, "%s", out)
	var known []string
	for _, line := range strings.Split(strings.Join(steps[1:], "\n"), "\n") {
		line, remark, _ := strings.Cut(line, "  # ")
		words := strings.Split(strings.TrimSpace(line), " ")
		switch {
		case words[0] != "bin/squall":
		case strings.Contains(remark, "refused: nobody has approved it"):
			code, _, said := command(t, words[1:]...)
			require.NotEqual(t, app.ExitPass, code)
			require.Contains(t, said, "it needs 1 of ana to approve, nobody has")
		case words[2] == "plan" || words[2] == "approve":
			code, _, said := command(t, words[1:]...)
			require.Equal(t, app.ExitPass, code, "%s\n%s", line, said)
		default:
			known = append(known, words[2])
			requireKnown(t, words[1:])
		}
	}
	assert.Equal(t, []string{"run", "run", "go", "detected", "ack", "did", "note", "action", "mitigated", "verify", "replay"}, known)
}

// requireKnown requires that there is a command with all the flags of a line.
func requireKnown(t *testing.T, words []string) {
	t.Helper()
	code, help, said := command(t, append(slices.Clone(words), "--help")...)
	require.Equal(t, app.ExitPass, code, "%v\n%s", words, said)
	name := "squall " + words[0]
	if words[0] == "gameday" && len(words) > 1 && !strings.HasPrefix(words[1], "-") {
		name += " " + words[1]
	}
	require.Contains(t, help, name, "%v", words)
}

// Commands that are named within a sentence exist, with their flags.
func TestCommandsNamedInText(t *testing.T) {
	named := regexp.MustCompile("`(?:bin/)?squall ([a-z][^`]*)`")
	seen := 0
	for _, page := range append(pages(t), "../../README.md", "../../ARCHITECTURE.md", "../../sample-system/README.md", "../../scenarios/README.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range named.FindAllStringSubmatch(fence.ReplaceAllString(string(text), ""), -1) {
			seen++
			requireKnown(t, strings.Fields(m[1]))
		}
	}
	assert.Greater(t, seen, 40)
}

const snippetHead = `apiVersion: squall/v1
kind: Scenario
metadata: {name: snippet}
spec:
  hypothesis: What the page says.
  system: SYSTEM
  load: {script: SCRIPT, arrival: 40/s}
`

// Every snippet is part of a valid scenario: those of the tutorial for its own
// system, all others for the shop.
func TestSnippetsOfTheDocs(t *testing.T) {
	project := t.TempDir()
	code, _, said := command(t, append(shellWords(commands(t, "../../docs/tutorial.md")[0])[1:], project)...)
	require.Equal(t, app.ExitPass, code, said)
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	checked := 0
	for _, page := range pages(t) {
		for i, snippet := range blocks(t, page, "yaml") {
			if strings.HasPrefix(snippet, "apiVersion:") {
				continue // a whole file, with a test of its own
			}
			system, script, slo := repo+"/sample-system/system.yaml", repo+"/scenarios/load/journeys.js", "checkout-success"
			if filepath.Base(page) == "tutorial.md" {
				system, script, slo = project+"/squall/system.yaml", project+"/squall/load/requests.js", "requests"
			}
			text := strings.NewReplacer("SYSTEM", system, "SCRIPT", script).Replace(snippetHead)
			text += "  " + strings.ReplaceAll(strings.TrimSuffix(snippet, "\n"), "\n", "\n  ") + "\n"
			for key, missing := range map[string]string{
				"faults": "  faults: [{id: any, kind: net-latency, on: client -> gateway, params: {latency: 3s}}]\n",
				"steady": "  steady: [{id: well-before, slo: " + slo + ", atLeast: 95%}]\n",
			} {
				if !strings.Contains(text, "\n  "+key+":") {
					text += missing
				}
			}
			file := filepath.Join(t.TempDir(), "snippet.yaml")
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
			code, _, said := command(t, "validate", file)
			assert.Equal(t, app.ExitPass, code, "%s, snippet %d:\n%s", page, i+1, said)
			checked++
		}
	}
	assert.Greater(t, checked, 8)
}

// Pages link to what there is.
func TestLinksOfTheDocs(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	for _, page := range append(pages(t), "../../README.md", "../../ARCHITECTURE.md") {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			assert.FileExists(t, filepath.Join(filepath.Dir(page), m[1]), page)
		}
	}
}
