package main

import (
	"bytes"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sources is every Go file of the shop that is not a test, by its path.
func sources(t *testing.T) map[string]string {
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		files[filepath.ToSlash(path)] = string(text)
		return err
	}))
	return files
}

var defectLine = regexp.MustCompile(`(?m)^\t(\w+) += "(D\d\d)" // (\S+)$`)

// TestDefectsStayInTheirFiles: a defect is asked for in its mechanism's file and
// nowhere else, and that file's opening comment and system.yaml name it.
func TestDefectsStayInTheirFiles(t *testing.T) {
	files := sources(t)
	system, err := os.ReadFile("system.yaml")
	require.NoError(t, err)
	defects := defectLine.FindAllStringSubmatch(files["internal/defect/defect.go"], -1)
	require.Len(t, defects, 40)
	for _, d := range defects {
		name, number, home := d[1], d[2], d[3]
		var users []string
		for path, text := range files {
			if regexp.MustCompile(`defect\.` + name + `\b`).MatchString(text) {
				users = append(users, path)
			}
		}
		assert.Equal(t, []string{home}, users, "files that ask for %s", number)
		assert.Contains(t, opening(t, home, files[home]), number, "opening comment of %s", home)
		assert.Regexp(t, `(?m)^      `+number+`: \S`, string(system), "system.yaml")
		assert.Regexp(t, `defects: \[.*`+number, string(system), "no service of system.yaml knows %s", number)
	}
}

// opening is the first comment of a file.
func opening(t *testing.T, path, text string) string {
	f, err := parser.ParseFile(token.NewFileSet(), path, text, parser.ParseComments)
	require.NoError(t, err, path)
	if len(f.Comments) == 0 {
		return ""
	}
	return f.Comments[0].Text()
}

// TestMechanismsAreOnTheMap: whatever answers a failure says so in the same
// words, and the README leads to it.
func TestMechanismsAreOnTheMap(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for path, text := range sources(t) {
		comment := opening(t, path, text)
		if !strings.Contains(comment, "Answers:") {
			continue
		}
		comment = strings.Join(strings.Fields(comment), " ")
		for _, part := range []string{"Numbers:", "Costs:", "Breaks without it:", "(Off switch(es)?:|No off switch)"} {
			assert.Regexp(t, part, comment, path)
		}
		assert.True(t, strings.Contains(string(readme), "("+path+")"), "the map of README.md does not lead to %s", path)
	}
	for _, link := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllSubmatch(readme, -1) {
		assert.FileExists(t, existing(string(link[1])), "README.md")
	}
}

// TestCommentsNameWhatIsThere: the tests and scenarios that a mechanism's comment
// promises exist.
func TestCommentsNameWhatIsThere(t *testing.T) {
	tests, scenarios := map[string]bool{}, map[string]bool{}
	for _, path := range find(t, ".", "_test.go") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
	}
	for _, path := range find(t, "../scenarios", ".yaml") {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		if m := regexp.MustCompile(`(?m)^  name: (\S+)$`).FindSubmatch(text); m != nil {
			scenarios[string(m[1])] = true
		}
	}
	for path, text := range sources(t) {
		_, promise, _ := strings.Cut(strings.Join(strings.Fields(opening(t, path, text)), " "), "Breaks without it:")
		promise, _, _ = strings.Cut(promise, "ff switch")
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(promise, -1) {
			assert.True(t, tests[name], "%s: there is no %s", path, name)
		}
		for _, m := range regexp.MustCompile(`scenarios? ([a-z]+(?:-[a-z0-9]+)+|compensation)(?: and ([a-z]+(?:-[a-z0-9]+)+))?`).FindAllStringSubmatch(promise, -1) {
			for _, name := range m[1:] {
				assert.True(t, name == "" || scenarios[name], "%s: there is no scenario %s", path, name)
			}
		}
	}
}

// find is every file below a folder whose name ends like this.
func find(t *testing.T, folder, suffix string) (paths []string) {
	require.NoError(t, filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, suffix) {
			paths = append(paths, path)
		}
		return err
	}))
	return paths
}

// existing is path, or for a folder the wiring in it.
func existing(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		entries, err := os.ReadDir(path)
		if err == nil && len(entries) > 0 {
			return filepath.Join(path, entries[0].Name())
		}
	}
	return path
}

// TestWiringIsShort: a reader can open any one service and follow it.
func TestWiringIsShort(t *testing.T) {
	for name := range services {
		text, err := os.ReadFile(filepath.Join(name, "main.go"))
		require.NoError(t, err)
		assert.LessOrEqual(t, bytes.Count(text, []byte("\n")), 60, "%s/main.go", name)
	}
}
