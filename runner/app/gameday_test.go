package app_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"squall/runner/app"
	"squall/runner/gameday"
	"squall/runner/inject"
	"squall/runner/record"
)

// service is what the system of these tests is made of: asked for /work it asks
// the service behind NEXT_URL; with DRIVE it asks by itself, and counts.
func service() {
	var ok, failed atomic.Int64
	client := &http.Client{Timeout: time.Second}
	ask := func() bool {
		res, err := client.Get(os.Getenv("NEXT_URL") + "/work")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode == http.StatusOK
	}
	http.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE calls_total counter\ncalls_total{outcome=\"ok\"} %d\ncalls_total{outcome=\"failed\"} %d\n", ok.Load(), failed.Load())
	})
	http.HandleFunc("/work", func(w http.ResponseWriter, _ *http.Request) {
		if os.Getenv("NEXT_URL") != "" && !ask() {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	if os.Getenv("DRIVE") != "" {
		go func() {
			for range time.Tick(25 * time.Millisecond) {
				if ask() {
					ok.Add(1)
				} else {
					failed.Add(1)
				}
			}
		}()
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[1], nil))
	os.Exit(1)
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
  limits: {stand: 1m, approvals: {low: 1, medium: 1, high: 2}, never: [proc-memory]}
`

const smallDay = `apiVersion: squall/v1
kind: GameDay
metadata: {name: small-day, title: A small day}
spec:
  objectives: [Do we notice that back is away?]
  system: system.yaml
  freeze: FREEZE
  settle: 1s
  deadline: 1m
  steady: [{id: up, promql: min(up), atLeast: 1, minSamples: 1}]
  guardrails: [GUARDRAIL]
  playbooks:
    - id: errors
      title: Calls fail
      signals: [{id: failing, promql: 'sum(rate(calls_total{outcome="failed"}[$window]))', above: 1, for: 500ms, minSamples: 1}]
      steps: [Look at the edge., Call the owner.]
  steps:
    - {id: ready, wait: Everybody is there.}
    - {id: away, fault: {kind: http-error, on: front -> back, params: {status: 503}}, for: 20s, until: person, playbook: errors}
`

// keptGuardrail is never broken; brokenGuardrail is soon after the fault.
const (
	keptGuardrail   = `{id: too-bad, promql: 'sum(rate(calls_total{outcome="failed"}[$window]))', above: 1000, for: 1s, minSamples: 1}`
	brokenGuardrail = `{id: too-bad, promql: 'sum(increase(calls_total{outcome="failed"}[$window]))', above: 4, for: 500ms, minSamples: 1}`
)

// dayBench is a folder with a small system, a day and two approvers' keys.
type dayBench struct {
	t          *testing.T
	dir, state string
	squall     string
}

func newDayBench(t *testing.T, guardrail string) *dayBench {
	t.Helper()
	squall, err := exec.LookPath("squall")
	require.NoError(t, err)
	svc, err := exec.LookPath("squall-test-service")
	require.NoError(t, err)
	b := &dayBench{t: t, dir: t.TempDir(), squall: squall}
	b.state = filepath.Join(b.dir, "state")
	keys := map[string]string{}
	for _, who := range []string{"ana", "ben", "eve"} {
		public, private, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		block, err := ssh.MarshalPrivateKey(private, who)
		require.NoError(t, err)
		b.write(who+".key", string(pem.EncodeToMemory(block)))
		require.NoError(t, os.Chmod(filepath.Join(b.dir, who+".key"), 0o600))
		key, err := ssh.NewPublicKey(public)
		require.NoError(t, err)
		keys[who] = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	}
	b.write("system.yaml", strings.NewReplacer("SERVICE", svc, "ANA", keys["ana"], "BEN", keys["ben"]).Replace(daySystem))
	b.write("day.yaml", strings.ReplaceAll(smallDay, "GUARDRAIL", guardrail))
	return b
}

func (b *dayBench) write(name, text string) {
	b.t.Helper()
	require.NoError(b.t, os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600))
}

func (b *dayBench) command(args ...string) *exec.Cmd {
	c := exec.Command(b.squall, args...)
	c.Dir = b.dir
	c.Env = append(os.Environ(), "SQUALL_STATE="+b.state, "NO_COLOR=1", "USER=ana")
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
	out  *bytes.Buffer
	done chan error
}

func (b *dayBench) start(flags ...string) *going {
	b.t.Helper()
	g := &going{dayBench: b, out: &bytes.Buffer{}, done: make(chan error, 1)}
	g.cmd = b.command(append([]string{"gameday", "run", "small-day.plan.json"}, flags...)...)
	g.cmd.Stdout, g.cmd.Stderr = g.out, g.out
	require.NoError(b.t, g.cmd.Start())
	go func() { g.done <- g.cmd.Wait() }()
	b.t.Cleanup(func() { _ = g.cmd.Process.Kill() })
	return g
}

// says repeats what a person says until the day takes it: it makes sense only then.
func (g *going) says(args ...string) {
	g.t.Helper()
	g.saysWithin(40*time.Second, args...)
}

func (g *going) saysWithin(limit time.Duration, args ...string) {
	g.t.Helper()
	require.Eventually(g.t, func() bool {
		_, code := g.run(append([]string{"gameday"}, args...)...)
		return code == 0
	}, limit, 50*time.Millisecond, "%v", args)
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
		require.Fail(g.t, "it does not end", g.out.String())
	}
	require.Equal(g.t, code, g.cmd.ProcessState.ExitCode(), g.out.String())
	return g.saved()
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

// The whole way: planned, approved, run, noted by two people, followed, mitigated,
// reported, verified; and an edited line is named.
func TestGameDay(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	b.approved()
	g := b.start()
	g.says("go", "--as", "ana")
	g.says("detected", "--as", "ben", "calls fail")
	g.says("ack", "--as", "ben")
	g.says("note", "--as", "ana", "the graph of front looks odd")
	g.says("note", "--as", "ben", "it is the edge to back")
	g.says("did", "1", "--as", "ben")
	g.says("action", "--as", "ana", "page on failed calls")
	g.signals(20 * time.Second)
	g.says("mitigated", "--as", "ben")
	run := g.ends(app.ExitPass)
	g.nothingLeft()
	require.NotNil(t, run.End)
	assert.Equal(t, record.EndDone, run.End.Reason)
	assert.Empty(t, run.Gaps)

	var r gameday.Report
	data, err := os.ReadFile(filepath.Join(g.runDir(), "gameday.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &r))
	require.Len(t, r.Steps, 2)
	x := r.Steps[1].Reaction
	require.NotNil(t, x)
	for what, at := range map[string]*time.Duration{"signal": x.Signal, "detected": x.Detected, "acknowledged": x.Acknowledged, "mitigated": x.Mitigated, "healed": x.Healed} {
		if assert.NotNil(t, at, what) {
			assert.Positive(t, *at, what)
		}
	}
	assert.Equal(t, []string{"ana"}, r.Approved)
	assert.Empty(t, r.Surprises)
	require.Len(t, r.Actions, 1)
	assert.Equal(t, "page on failed calls", r.Actions[0].Text)
	p := r.Steps[1].Playbook
	require.NotNil(t, p)
	assert.Equal(t, "ben", p.Steps[0].By)
	assert.Nil(t, p.Steps[1].Done, "nobody called the owner")
	page, err := os.ReadFile(filepath.Join(g.runDir(), "report.html"))
	require.NoError(t, err)
	for _, text := range []string{"the graph of front looks odd", "it is the edge to back", "page on failed calls"} {
		assert.Contains(t, string(page), text)
	}

	head := regexp.MustCompile(`head     ([0-9a-f]{64})`).FindStringSubmatch(g.out.String())
	require.Len(t, head, 2, g.out.String())
	b.must("gameday", "verify", g.runDir(), "--head", head[1])
	file := filepath.Join(g.runDir(), "run.ndjson")
	lines, err := os.ReadFile(file)
	require.NoError(t, err)
	at := 1 + strings.Count(string(lines[:bytes.Index(lines, []byte("looks odd"))]), "\n")
	require.NoError(t, os.WriteFile(file, bytes.Replace(lines, []byte("looks odd"), []byte("looks fine"), 1), 0o600))
	out, code := b.run("gameday", "verify", g.runDir())
	assert.Equal(t, app.ExitFail, code)
	assert.Contains(t, out, fmt.Sprintf("run.ndjson:%d: entry %d was edited", at, at-1))
}

// From the breach of a guardrail, an abort from another terminal, or a signal,
// to the last fault seen gone it takes less than a second.
func TestGameDayStops(t *testing.T) {
	for name, tt := range map[string]struct {
		guardrail string
		stop      func(g *going)
		code      int
		reason    string
		from      func(run *record.Run) time.Duration
	}{
		"guardrail": {brokenGuardrail, func(*going) {}, app.ExitAborted, "guardrail too-bad", breach},
		"abort": {keptGuardrail, func(g *going) { g.says("abort", "--as", "ben", "customers call") }, app.ExitAborted, "by ben: customers call", func(run *record.Run) time.Duration {
			return run.Marks[len(run.Marks)-1].T
		}},
		"SIGTERM": {keptGuardrail, func(g *going) { _ = g.cmd.Process.Signal(syscall.SIGTERM) }, app.ExitInterrupted, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newDayBench(t, tt.guardrail)
			b.approved()
			g := b.start()
			g.says("go", "--as", "ana")
			require.Eventually(t, func() bool {
				_, in := until(g.saved(), "away", record.FaultBiting)
				return in
			}, 20*time.Second, 20*time.Millisecond, "the fault bites")
			sent := time.Now()
			tt.stop(g)
			run := g.ends(tt.code)
			g.nothingLeft()
			gone, ok := until(run, "away", record.FaultGone)
			require.True(t, ok)
			require.NotNil(t, run.End)
			assert.Contains(t, run.End.Error, tt.reason)
			from := run.T(sent.UnixNano())
			if tt.from != nil {
				from = tt.from(run)
			}
			t.Logf("from stop to gone: %s", gone-from)
			assert.Less(t, gone-from, time.Second)
		})
	}
}

// breach is when the fifth call had failed, as the proxy saw it: from then on more
// than four have within half a second.
func breach(run *record.Run) time.Duration {
	n := 0
	for _, x := range run.Exchanges {
		if x.Edge == "driver -> front" && x.Status == http.StatusBadGateway {
			if n++; n == 5 {
				return run.T(x.At + x.Dur)
			}
		}
	}
	return 0
}

// A runner that is killed leaves nothing: what it held ends with it, and abort
// from another terminal clears up.
func TestGameDayKilled(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	b.approved()
	g := b.start()
	g.says("go", "--as", "ana")
	require.Eventually(t, func() bool {
		_, in := until(g.saved(), "away", record.FaultBiting)
		return in
	}, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, g.cmd.Process.Kill())
	<-g.done
	out, code := b.run("gameday", "run", "small-day.plan.json")
	assert.Equal(t, app.ExitError, code, out)
	assert.Contains(t, out, "left something to undo")
	assert.Contains(t, b.must("gameday", "abort", "--as", "ben"), "nothing is left broken")
	g.nothingLeft()
	v, err := record.Verify(g.runDir())
	require.NoError(t, err)
	assert.False(t, v.Ended)
}

// In a rehearsal all is real but the faults: nobody suffers, and the undo is done.
func TestGameDayRehearsal(t *testing.T) {
	b := newDayBench(t, brokenGuardrail) // it would be broken by the fault
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	g := b.start("--dry-run") // nobody approved it
	g.says("go", "--as", "ana")
	require.Eventually(t, func() bool {
		run := g.saved()
		_, in := until(run, "away", record.FaultInjected)
		return in && len(run.Watches) > 0
	}, 20*time.Second, 20*time.Millisecond, "the guardrails are watched")
	g.says("mitigated", "--as", "ana")
	run := g.ends(app.ExitPass)
	g.nothingLeft()
	_, bit := until(run, "away", record.FaultBiting)
	assert.False(t, bit)
	_, gone := until(run, "away", record.FaultGone)
	assert.True(t, gone)
	journal, err := os.ReadFile(filepath.Join(g.runDir(), "undo.ndjson"))
	require.NoError(t, err)
	assert.Contains(t, string(journal), `"step":"reverted"`)
	assert.Contains(t, run.Header.Title, "(rehearsal)")
}

// What has changed since it was approved is not run.
func TestGameDayRefused(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	refused := func(want ...string) {
		t.Helper()
		out, code := b.run("gameday", "run", "small-day.plan.json")
		assert.Equal(t, app.ExitError, code, out)
		for _, w := range want {
			assert.Contains(t, out, w)
		}
	}
	refused("it needs 1 of ana, ben to approve, nobody has")
	out, code := b.run("gameday", "approve", "small-day.plan.json", "--key", "eve.key")
	assert.Equal(t, app.ExitUsage, code)
	assert.Contains(t, out, "this key is no approver's")
	b.must("gameday", "approve", "small-day.plan.json", "--key", "ana.key")
	b.write("FREEZE", "")
	refused("there is a freeze")
	require.NoError(t, os.Remove(filepath.Join(b.dir, "FREEZE")))
	day, err := os.ReadFile(filepath.Join(b.dir, "day.yaml"))
	require.NoError(t, err)
	b.write("day.yaml", strings.Replace(string(day), "front -> back", "driver -> front", 1))
	refused(`drift since the plan was made: steps.away.faults.away.on: was "front -> back", is "driver -> front"`, "inputs.day.yaml")
	b.write("day.yaml", string(day))
	plan, err := os.ReadFile(filepath.Join(b.dir, "small-day.plan.json"))
	require.NoError(t, err)
	b.write("small-day.plan.json", strings.Replace(string(plan), `"stands": "20s"`, `"stands": "50s"`, 1))
	refused("signature of ana is not of this plan")
	assert.NoDirExists(t, filepath.Join(b.dir, "out"), "nothing was begun")
}

// A runner that falls silent, alive or not, does not hold a fault: leases run out
// and the supervisor ends what nobody answers for. Abort ends the runner.
func TestGameDaySilent(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	b.approved()
	g := b.start()
	g.says("go", "--as", "ana")
	require.Eventually(t, func() bool {
		_, in := until(g.saved(), "away", record.FaultBiting)
		return in
	}, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, g.cmd.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		left, err := filepath.Glob(filepath.Join(g.state, "environments", "*"))
		return err == nil && len(left) == 0
	}, 20*time.Second, 50*time.Millisecond, "it ends without its runner")
	out := b.must("gameday", "abort", "--as", "ben")
	assert.Contains(t, out, "does not answer")
	assert.Contains(t, out, "nothing is left broken")
	<-g.done
	g.nothingLeft()
}

// crashes are the runs of TestGameDayCrashes; GAMEDAY_CRASH_N asks for more.
func crashes(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("GAMEDAY_CRASH_N"), "3"))
	require.NoError(t, err)
	return n
}

// Wherever a runner is killed, heal finds what it did, and nothing is left.
func TestGameDayCrashes(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	day, err := os.ReadFile(filepath.Join(b.dir, "day.yaml"))
	require.NoError(t, err)
	steps := `  steps:
    - {id: ramp, ramp: {kind: http-error, on: front -> back, each: 300ms, levels: [{status: 500}, {status: 503}]}}
    - {id: pause, fault: {kind: proc-pause, on: back}, for: 300ms}
    - {id: kill, fault: {kind: proc-kill, on: back}, for: 300ms}
`
	b.write("day.yaml", regexp.MustCompile(`(?s)  steps:\n    - \{id: ready.*`).ReplaceAllString(string(day), steps))
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	for _, who := range []string{"ana", "ben"} { // killing all of back is a high risk
		b.must("gameday", "approve", "small-day.plan.json", "--key", who+".key")
	}
	open, whole := 0, 0
	for i := range crashes(t) {
		out := fmt.Sprintf("out-%d", i)
		g := b.start("--out", out)
		after := time.Duration(rand.Int64N(int64(3500 * time.Millisecond)))
		select {
		case <-g.done:
			whole++
		case <-time.After(after):
			require.NoError(t, g.cmd.Process.Kill())
			<-g.done
		}
		dirs, err := filepath.Glob(filepath.Join(b.dir, out, "*"))
		require.NoError(t, err)
		for _, dir := range dirs {
			if lines, err := inject.ReadJournal(filepath.Join(dir, "undo.ndjson")); err == nil && len(lines) > 0 {
				open++
			}
		}
		said := b.must("heal")
		require.Contains(t, said, "nothing is left broken", "killed after %s", after)
		for _, dir := range dirs {
			lines, err := inject.ReadJournal(filepath.Join(dir, "undo.ndjson"))
			if !errors.Is(err, os.ErrNotExist) {
				require.NoError(t, err)
			}
			require.Empty(t, lines, "killed after %s", after)
		}
		for _, folder := range []string{"runs", "gamedays"} {
			left, err := filepath.Glob(filepath.Join(b.state, folder, "*"))
			require.NoError(t, err)
			require.Empty(t, left, "killed after %s: %s", after, folder)
		}
		// A supervisor that was only just beginning is not known to heal yet: it sees its pipe close and ends by itself.
		require.Eventually(t, func() bool {
			left, err := filepath.Glob(filepath.Join(b.state, "environments", "*"))
			return err == nil && len(left) == 0 && len(processesBelow(t, b.dir)) == 0
		}, 10*time.Second, 20*time.Millisecond, "killed after %s", after)
	}
	t.Logf("%d runs: %d killed with a fault open, %d over before", crashes(t), open, whole)
}

// processesBelow are the processes that were told of a folder in their environment.
func processesBelow(t *testing.T, dir string) (found []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(t, err)
	for _, file := range all {
		if data, err := os.ReadFile(file); err == nil && bytes.Contains(data, []byte(dir)) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			found = append(found, string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// A saved day plays again on the live page, and only whoever has its token sees it.
func TestGameDayReplay(t *testing.T) {
	b := newDayBench(t, brokenGuardrail)
	b.approved()
	g := b.start()
	g.says("go", "--as", "ana")
	run := g.ends(app.ExitAborted)
	cmd := b.command("gameday", "replay", g.runDir(), "--pace", "100")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	url, token, found := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "replay")), "/#")
	require.True(t, found, line)
	req, err := http.NewRequest(http.MethodGet, url+"/events", nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	res.Body.Close()
	assert.Equal(t, http.StatusUnauthorized, res.StatusCode)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	seen := 0
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() && lines.Text() != "event: end" {
		if strings.HasPrefix(lines.Text(), "id: ") {
			seen++
		}
	}
	require.NoError(t, lines.Err())
	assert.Equal(t, len(run.Entries), seen, "every entry, once")
}

// stagingSystem is somebody else's: squall knows where it is and what to call.
const stagingSystem = `apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  services:
    back:
      at: {http: "ADDRESS"}
      port: http
      ports: [http]
      metrics: /metrics
      hooks:
        state: [cat, "FILE"]
        kill: {do: [sh, -c, "echo dead > FILE"], undo: [sh, -c, "echo running 2 > FILE"]}
  edges:
    client -> back: {protocol: http, env: BACK_URL}
  approvers:
    - {name: ana, key: "ANA"}
    - {name: ben, key: "BEN"}
  limits: {approvals: {high: 1}}
`

// On a system that is there already a day passes and ends as it found it; and if
// its runner is killed, the watchdog reverts within the lease what has no lease.
func TestGameDayOnARemoteSystem(t *testing.T) {
	for name, kill := range map[string]bool{"to its end": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			b := newDayBench(t, `{id: gone, promql: min(alive), below: 0.5, for: 1s, minSamples: 1}`)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "# TYPE alive gauge\nalive 1") }))
			defer server.Close()
			state := filepath.Join(b.dir, "back-runs")
			b.write("back-runs", "running 1\n")
			old, err := os.ReadFile(filepath.Join(b.dir, "system.yaml"))
			require.NoError(t, err)
			keys := regexp.MustCompile(`ssh-ed25519 [^"]+`).FindAllString(string(old), 2)
			b.write("system.yaml", strings.NewReplacer("ADDRESS", server.Listener.Addr().String(), "FILE", state, "ANA", keys[0], "BEN", keys[1]).Replace(stagingSystem))
			day, err := os.ReadFile(filepath.Join(b.dir, "day.yaml"))
			require.NoError(t, err)
			b.write("day.yaml", strings.NewReplacer("kind: http-error, on: front -> back, params: {status: 503}", "kind: proc-kill, on: back",
				"playbook: errors", "title: Back is gone", "promql: min(up)", "promql: min(alive)").Replace(string(day)))
			b.approved()
			g := b.start()
			g.says("go", "--as", "ana")
			is := func(want string) func() bool {
				return func() bool {
					now, err := os.ReadFile(state)
					return err == nil && string(now) == want
				}
			}
			require.Eventually(t, is("dead\n"), 20*time.Second, 20*time.Millisecond, "the hook was called")
			if kill {
				require.NoError(t, g.cmd.Process.Kill())
				<-g.done
				require.Eventually(t, is("running 2\n"), 10*time.Second, 20*time.Millisecond, "the watchdog reverts")
				assert.Contains(t, b.must("heal"), "nothing is left broken")
				return
			}
			g.says("mitigated", "--as", "ben")
			run := g.ends(app.ExitPass)
			assert.True(t, is("running 2\n")())
			assert.Equal(t, record.EndDone, run.End.Reason)
			g.nothingLeft()
		})
	}
}
