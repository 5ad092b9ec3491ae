package app_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"squall/runner/gameday"
	"squall/runner/inject"
	"squall/runner/record"
)

// service is the program that the system of these tests is made of.
func service() {
	next := os.Getenv("NEXT_URL")
	s := &node{next: func() string { return next }}
	if os.Getenv("DRIVE") != "" {
		go s.drive(context.Background())
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], s.handler()))
	os.Exit(1)
}

// node is one service: asked for /work it asks the next one, if there is any;
// one that drives asks by itself, and counts.
type node struct {
	next       func() string // base URL
	down       func() bool   // nil: never
	ok, failed atomic.Int64
}

var nodeClient = &http.Client{Timeout: time.Second}

func (n *node) ask() bool {
	res, err := nodeClient.Get(n.next() + "/work")
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

func (n *node) drive(ctx context.Context) {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if n.ask() {
			n.ok.Add(1)
		} else {
			n.failed.Add(1)
		}
	}
}

func (n *node) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE calls_total counter\ncalls_total{outcome=\"ok\"} %d\ncalls_total{outcome=\"failed\"} %d\n", n.ok.Load(), n.failed.Load())
	})
	mux.HandleFunc("/work", func(w http.ResponseWriter, _ *http.Request) {
		if n.down != nil && n.down() || n.next() != "" && !n.ask() {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	return mux
}

const daySystem = `apiVersion: squall/v1
kind: System
metadata: {name: small}
spec:
  target: process
  defaults: {ports: [http], port: http, ready: {http: /ready}, metrics: /metrics, stop: 500ms}
  services:
    driver: {command: [SERVICE, "${self.http}"], env: {DRIVE: "yes"}}
    front: {command: [SERVICE, "${self.http}"]}
    back: {command: [SERVICE, "${self.http}"]}
  edges:
    driver -> front: {protocol: http, env: NEXT_URL}
    front -> back: {protocol: http, env: NEXT_URL}
  approvers:
    - {name: ana, key: "ANA"}
    - {name: ben, key: "BEN"}
  limits: {stand: 5m, approvals: {low: 1, medium: 1, high: 2}, never: [proc-memory]}
`

const smallDay = `apiVersion: squall/v1
kind: GameDay
metadata: {name: small-day, title: A small day}
spec:
  objectives: [Do we notice that back is away?]
  system: system.yaml
  freeze: FREEZE
  settle: 1s
  deadline: 4m
  steady: [{id: up, promql: min(up), atLeast: 1, minSamples: 1}]
  guardrails: [GUARDRAIL]
  playbooks:
    - id: errors
      title: Calls fail
      signals: [{id: failing, promql: 'sum(rate(calls_total{outcome="failed"}[$window]))', above: 1, for: 500ms, minSamples: 1}]
      steps: [Look at the edge., Call the owner.]
  steps:
    - {id: ready, wait: Everybody is there.}
    - {id: away, fault: {FAULT}, for: 2m, until: person, playbook: errors}
`

// keptGuardrail is never broken; brokenGuardrail is soon after the fault.
const (
	keptGuardrail   = `{id: too-bad, promql: 'sum(rate(calls_total{outcome="failed"}[$window]))', above: 1000, for: 1s, minSamples: 1}`
	brokenGuardrail = `{id: too-bad, promql: 'sum(increase(calls_total{outcome="failed"}[$window]))', above: 4, for: 500ms, minSamples: 1}`
)

// dayBench is a folder with a small system, a day and the keys of its approvers.
type dayBench struct {
	t          *testing.T
	dir, state string
	squall     string
	env        []string          // of every command, beside our own
	keys       map[string]string // public, by name
	healed     func() bool       // what the fault broke works, or is gone as a whole
	stock      string            // API of somebody else's Toxiproxy server; remote only
	leave      func()            // ends the system's own traffic; remote only
}

// places are where a day runs: on a system that squall starts, and on one that
// is there already, behind proxies of others.
var places = map[string]func(t *testing.T, guardrail string) *dayBench{"process": newDayBench, "remote": newStagingBench}

// newDayBench is on the process target.
func newDayBench(t *testing.T, guardrail string) *dayBench {
	t.Helper()
	b := emptyDayBench(t)
	svc, err := exec.LookPath("squall-test-service")
	require.NoError(t, err)
	b.system(daySystem, "SERVICE", svc)
	b.day(guardrail, "kind: http-error, on: front -> back, params: {status: 503}")
	b.healed = func() bool {
		left, err := filepath.Glob(filepath.Join(b.state, "environments", "*"))
		return err == nil && len(left) == 0
	}
	return b
}

func emptyDayBench(t *testing.T) *dayBench {
	t.Helper()
	squall, err := exec.LookPath("squall")
	require.NoError(t, err)
	b := &dayBench{t: t, dir: t.TempDir(), squall: squall, keys: map[string]string{}}
	b.state = filepath.Join(b.dir, "state")
	for _, who := range []string{"ana", "ben", "eve"} {
		public, private, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		block, err := ssh.MarshalPrivateKey(private, who)
		require.NoError(t, err)
		b.write(who+".key", string(pem.EncodeToMemory(block)))
		require.NoError(t, os.Chmod(filepath.Join(b.dir, who+".key"), 0o600))
		key, err := ssh.NewPublicKey(public)
		require.NoError(t, err)
		b.keys[who] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	}
	return b
}

func (b *dayBench) system(text string, oldnew ...string) {
	b.t.Helper()
	b.write("system.yaml", strings.NewReplacer(append(oldnew, "ANA", b.keys["ana"], "BEN", b.keys["ben"])...).Replace(text))
}

func (b *dayBench) day(guardrail, fault string) {
	b.t.Helper()
	b.write("day.yaml", strings.NewReplacer("GUARDRAIL", guardrail, "FAULT", fault).Replace(smallDay))
}

func (b *dayBench) write(name, text string) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600))
}

// edit replaces a text of a file, once.
func (b *dayBench) edit(name, old, text string) {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.dir, name))
	require.NoError(b.t, err)
	require.Contains(b.t, string(data), old)
	b.write(name, strings.Replace(string(data), old, text, 1))
}

func (b *dayBench) command(args ...string) *exec.Cmd {
	c := exec.Command(b.squall, args...)
	c.Dir = b.dir
	c.Env = append(append(os.Environ(), "SQUALL_STATE="+b.state, "NO_COLOR=1", "USER=ana"), b.env...)
	return c
}

// squall runs a command and returns what it printed and its exit code.
func (b *dayBench) run(args ...string) (string, int) {
	b.t.Helper()
	out, err := b.command(args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	require.NoError(b.t, err)
	return string(out), 0
}

func (b *dayBench) must(args ...string) string {
	b.t.Helper()
	out, code := b.run(args...)
	require.Zero(b.t, code, out)
	return out
}

// approved makes a plan that ana has approved.
func (b *dayBench) approved() {
	b.t.Helper()
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	b.must("gameday", "approve", "small-day.plan.json", "--key", "ana.key")
}

// going is a day that goes on.
type going struct {
	*dayBench
	cmd  *exec.Cmd
	out  string // file of what it prints
	done chan error
}

func (b *dayBench) start(flags ...string) *going {
	b.t.Helper()
	g := &going{dayBench: b, out: filepath.Join(b.dir, "said.txt"), done: make(chan error, 1)}
	g.cmd = b.command(append([]string{"gameday", "run", "small-day.plan.json"}, flags...)...)
	out, err := os.Create(g.out)
	require.NoError(b.t, err)
	defer out.Close()
	g.cmd.Stdout, g.cmd.Stderr = out, out
	require.NoError(b.t, g.cmd.Start())
	go func() { g.done <- g.cmd.Wait() }()
	b.t.Cleanup(func() { _ = g.cmd.Process.Kill() })
	return g
}

// said is what it has printed.
func (g *going) said() string {
	g.t.Helper()
	out, err := os.ReadFile(g.out)
	require.NoError(g.t, err)
	return string(out)
}

// says repeats what a person says until the day takes it: it makes sense only then.
func (g *going) says(args ...string) {
	g.t.Helper()
	g.saysWithin(time.Minute, args...)
}

func (g *going) saysWithin(limit time.Duration, args ...string) {
	g.t.Helper()
	answer := ""
	taken := func() (ok bool) {
		out, code := g.run(append([]string{"gameday"}, args...)...)
		answer = out
		return code == 0
	}
	for deadline := time.Now().Add(limit); !taken(); {
		require.True(g.t, time.Now().Before(deadline), "%v: %s\n%s", args, answer, g.said())
	}
}

// signals waits until every signal of the playbook that is followed has been seen.
func (g *going) signals(limit time.Duration) *record.Run {
	g.t.Helper()
	var run *record.Run
	require.Eventually(g.t, func() bool {
		run = g.saved()
		watched, seen := map[string]bool{}, map[string]bool{}
		for _, w := range run.Watches {
			watched[w.ID] = watched[w.ID] || w.Group == "signal"
		}
		for _, m := range run.Marks {
			seen[m.On] = seen[m.On] || m.What == "signal"
		}
		n := 0
		for id, is := range watched {
			if is {
				if n++; !seen[id] {
					return false
				}
			}
		}
		return n > 0
	}, limit, 100*time.Millisecond, "the signals of the playbook are seen")
	return run
}

func (g *going) ends(code int) *record.Run {
	g.t.Helper()
	select {
	case <-g.done:
	case <-time.After(60 * time.Second):
		_ = g.cmd.Process.Signal(syscall.SIGQUIT)
		<-g.done
		require.Fail(g.t, "it does not end", g.said())
	}
	require.Equal(g.t, code, g.cmd.ProcessState.ExitCode(), g.said())
	return g.saved()
}

// bites waits until the fault is seen biting.
func (g *going) bites() {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		_, in := until(g.saved(), "away", record.FaultBiting)
		return in
	}, 40*time.Second, 20*time.Millisecond, "the fault bites")
}

func (g *going) runDir() string {
	g.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(g.dir, "out", "gameday", "*"))
	require.NoError(g.t, err)
	require.Len(g.t, dirs, 1)
	return dirs[0]
}

func (g *going) saved() *record.Run {
	g.t.Helper()
	run, err := record.Open(g.runDir())
	require.NoError(g.t, err)
	return run
}

// report is what the day has written of itself.
func (g *going) report() (r gameday.Report) {
	g.t.Helper()
	data, err := os.ReadFile(filepath.Join(g.runDir(), "gameday.json"))
	require.NoError(g.t, err)
	require.NoError(g.t, json.Unmarshal(data, &r))
	return r
}

// nothingLeft: no fault, no folder of an environment, no day.
func (g *going) nothingLeft() {
	g.t.Helper()
	open, err := inject.ReadJournal(filepath.Join(g.runDir(), "undo.ndjson"))
	require.NoError(g.t, err)
	assert.Empty(g.t, open)
	for _, folder := range []string{"environments", "runs", "gamedays"} {
		left, err := filepath.Glob(filepath.Join(g.state, folder, "*"))
		require.NoError(g.t, err)
		assert.Empty(g.t, left, folder)
	}
}

func until(run *record.Run, id string, state record.FaultState) (time.Duration, bool) {
	for _, f := range run.Faults {
		if f.ID == id && f.State == state {
			return f.T, true
		}
	}
	return 0, false
}
