package app_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
)

// planted begins every secret that these tests plant.
const planted = "planted$ecret"

// watched runs a scenario with everything that is told of a run, also its live
// page while it goes on, and returns its exit code. No secret may be in any of it,
// nor in a file below dir.
func watched(t *testing.T, dir string, squall *exec.Cmd) int {
	t.Helper()
	var all strings.Builder
	squall.Args = append(squall.Args, "--live=127.0.0.1:0", "--junit", "junit.xml", "--history", "history.jsonl")
	squall.Stdout = &all
	said, err := squall.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, squall.Start())
	lines := bufio.NewScanner(said)
	page := ""
	for page == "" && lines.Scan() {
		page, _ = strings.CutPrefix(lines.Text(), "live  ")
	}
	seen := make(chan string, 1)
	go func() { seen <- follow(t.Context(), page) }()
	for lines.Scan() {
		page += lines.Text()
	}
	_ = squall.Wait() // its exit code is for the caller
	shown := <-seen
	require.Contains(t, shown, "<html", "the live page was there")
	all.WriteString(shown + page)
	assert.NotContains(t, all.String(), planted)
	assertNotPlanted(t, dir)
	return squall.ProcessState.ExitCode()
}

// follow is all that a live page tells until it ends.
func follow(ctx context.Context, url string) (shown string) {
	again := time.NewTicker(20 * time.Millisecond) // the run is not there at once
	defer again.Stop()
	for try := 0; !strings.Contains(shown, "<html") && try < 300; try++ {
		<-again.C
		shown = read(ctx, url)
	}
	return shown + read(ctx, url+"others/events")
}

func read(ctx context.Context, url string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(resp.Body) // until the page ends
	return string(text)
}

// assertNotPlanted looks into every file of a run, and into what can be made of it.
func assertNotPlanted(t *testing.T, dir string) {
	t.Helper()
	files := map[string]bool{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files[d.Name()] = true
		text, err := os.ReadFile(path)
		assert.NotContains(t, string(text), planted, path)
		return err
	}))
	for _, name := range []string{"junit.xml", "summary.md", "report.html", "verdict.json", "plan.json", "undo.ndjson", "history.jsonl", "index.html"} {
		assert.True(t, files[name], "%s was looked into", name)
	}
}

// A remote system has tokens of a proxy, of a Prometheus server and for hooks, one
// of which prints its own as it fails.
func TestSecretsOfARemoteSystem(t *testing.T) {
	b := newStagingBench(t, keptGuardrail)
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+planted+"-prometheus" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, "# TYPE elsewhere gauge\nelsewhere{job=\"theirs\"} 1\n")
	}))
	defer prometheus.Close()
	system, err := os.ReadFile(filepath.Join(b.dir, "system.yaml"))
	require.NoError(t, err)
	b.write("system.yaml", strings.NewReplacer(
		"metrics: /metrics}", "}",
		"  target: remote\n", "  target: remote\n  prometheus: {url: \""+prometheus.URL+"\", match: [elsewhere], tokenEnv: PROM_TOKEN}\n",
		"        kill:", "        env: [HOOK_SECRET]\n        kill:", "undo: [sh, -c, \"echo", "undo: [sh, -c, \"echo $HOOK_SECRET >&2; test -e repaired || exit 1; echo",
	).Replace(string(system)))
	b.write("others.yaml", strings.NewReplacer("FAULT", hookFault, "LENGTH", "2s", "GUARDRAIL", "", "min(up)", "elsewhere", "EXPECT\n", "",
		"'sum(increase(calls_total[$window]))', above: LEAST", "elsewhere, atLeast: 1, minSamples: 1").Replace(ownTraffic))
	b.env = append(b.env, "SQUALL_K6=/nowhere", "PROM_TOKEN="+planted+"-prometheus", "HOOK_SECRET="+planted+"-hook")
	assert.Equal(t, app.ExitDirty, watched(t, b.dir, b.command("run", "--output", "plain", "others.yaml")), "its undo failed, and said so")
	report, err := os.ReadFile(filepath.Join(b.dir, "out", "latest", "others", "summary.md"))
	require.NoError(t, err)
	assert.Contains(t, string(report), `exit status 1: \[HOOK_SECRET\]`)
	b.write("repaired", "")
	out, code := b.run("heal")
	assert.Zero(t, code, out)
	assert.NotContains(t, out, planted)
}
