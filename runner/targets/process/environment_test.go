package process

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/targets"
	"squall/scenarios/spec"
)

const (
	longLease = time.Minute
	soon      = 15 * time.Second // far more than anything here takes
	often     = 10 * time.Millisecond
)

func TestUpWiresServicesThroughProxies(t *testing.T) {
	env := up(t, testConfig(t.TempDir(), longLease))

	services := env.Services()
	require.Len(t, services, 2)
	assert.Equal(t, "back", services[0].Name)
	assert.Equal(t, "/metrics", services[1].Metrics)

	back := strings.TrimPrefix(services[0].URL, "http://")
	assert.Equal(t, back, get(t, env.ClientEnv()["FRONT_URL"]+"/via/BACK_URL"), "client -> front -> back, each through a proxy")
	assert.NotContains(t, get(t, services[1].URL+"/env/BACK_URL"), back, "the caller must get the proxy's address")
	assert.Equal(t, "D2", get(t, services[1].URL+"/env/DEFECTS"))
	assert.Empty(t, get(t, services[0].URL+"/env/DEFECTS"), "back does not know D2")
	assert.DirExists(t, get(t, services[0].URL+"/env/DATA"))

	log, err := os.ReadFile(filepath.Join(env.cfg.RunDir, "logs", "back.log"))
	require.NoError(t, err)
	assert.Contains(t, string(log), "serving on "+back)
}

func TestUpRunsInstances(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	cfg.System, cfg.Defects = poolSystem(t), nil
	env := up(t, cfg)
	var names []string
	data := map[string]string{}
	for _, s := range env.Services() {
		names = append(names, s.Name+" of "+s.Of)
		assert.Equal(t, s.Name, get(t, s.URL+"/env/SELF"))
		data[s.Name] = get(t, s.URL+"/env/DATA")
	}
	assert.Equal(t, []string{"back-1 of back", "back-2 of back", "front-1 of front", "front-2 of front"}, names)
	assert.Equal(t, data["back-1"], data["back-2"])
	assert.NotEqual(t, data["back-1"], data["front-1"])
	for _, url := range strings.Split(env.ClientEnv()["FRONT_URL"], ",") {
		assert.Contains(t, get(t, url+"/env/SELF"), "front-")
	}
	for _, name := range []string{"back-2", "front-1 -> back-2"} {
		target, err := env.Target(name)
		require.NoError(t, err)
		assert.Equal(t, name, target.Name())
	}
	_, err := env.Target("back")
	require.ErrorContains(t, err, "no such service or edge", "groups are resolved by the plan")
	before, err := env.Snapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "running", before["process back-2"])

	target, err := env.Target("back-2")
	require.NoError(t, err)
	back := target.(faults.Process)
	id, err := back.Identity(t.Context())
	require.NoError(t, err)
	require.NoError(t, back.Signal(t.Context(), id, "KILL"))
	require.Eventually(t, func() bool { s, err := back.State(t.Context(), id); return err == nil && s == stateDead }, soon, often)
	require.NoError(t, back.Start(t.Context()))
	after, err := env.Snapshot(t.Context())
	require.NoError(t, err)
	assert.Equal(t, before, after, "it is there again under its name and addresses")
}

func TestUpRefusesWithoutWhatServicesRequire(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	for _, name := range []string{"front", "back"} {
		svc := cfg.System.Spec.Services[name]
		svc.Requires = []string{"no-such-program", "sh"}
		cfg.System.Spec.Services[name] = svc
	}
	env := New(cfg)
	require.EqualError(t, env.Up(t.Context()), "no program no-such-program on this machine (required by back, front)")
	require.NoError(t, env.Down(t.Context()))
	assert.NoDirExists(t, environmentsDir(cfg.StateDir))
}

func TestMissing(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tool"), nil, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	for program, want := range map[string][]string{
		"tool":   nil,
		"notes":  {"no program notes on this machine (required by a)"},
		"folder": {"no program folder on this machine (required by a)"},
	} {
		sys := &spec.System{Spec: spec.SystemSpec{Services: map[string]spec.Service{
			"a-1": {Of: "a", Requires: []string{program}}, "a-2": {Of: "a", Requires: []string{program}}, "b": {},
		}}}
		assert.Equal(t, want, Missing(sys, []string{"HOME=/", "PATH=/nowhere:" + dir}), program)
	}
}

func TestServicesGetAMinimalEnvironment(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	cfg.Environ = []string{"PATH=/bin", "HOME=/nowhere", "TMPDIR=/tmp", "SECRET=1"}
	env := up(t, cfg)
	front := env.Services()[1].URL
	assert.Equal(t, "/nowhere", get(t, front+"/env/HOME"))
	assert.Equal(t, "/tmp", get(t, front+"/env/TMPDIR"))
	assert.Empty(t, get(t, front+"/env/SECRET"))
}

func TestDownLeavesNothing(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	daemon := cfg.System.Spec.Services["back"]
	daemon.Command = []string{os.Args[0], "daemon", "${self.http}", "${self.extra}"}
	daemon.Ports = append(daemon.Ports, "extra")
	cfg.System.Spec.Services["back"] = daemon
	env := up(t, cfg)
	trail := trailOf(t, env.Locator())
	require.Eventually(t, func() bool { return len(marked(trail.ID)) >= 4 }, soon, often, "proxy, front, back and its daemon")

	require.NoError(t, env.Down(t.Context()))
	trail.requireGone(t)
	assert.Empty(t, marked(trail.ID))
	require.NoError(t, env.Down(t.Context()), "again")
	require.ErrorIs(t, env.Up(t.Context()), errOver)
	_, err := env.Target("front")
	require.ErrorIs(t, err, errNotUp)
}

func TestDownKillsWhatDoesNotFollow(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	stubborn := cfg.System.Spec.Services["back"]
	stubborn.Command[1] = "stubborn"
	stubborn.Stop = spec.Duration(50 * time.Millisecond)
	cfg.System.Spec.Services["back"] = stubborn
	env := up(t, cfg)
	trail := trailOf(t, env.Locator())
	require.NoError(t, env.Down(t.Context()))
	trail.requireGone(t)
	assert.Contains(t, drain(env), "back stopped: signal killed")
}

func TestDownEndsCallersBeforeWhatTheyCall(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	slow := cfg.System.Spec.Services["front"]
	slow.Command[1] = "stubborn"
	slow.Stop = spec.Duration(200 * time.Millisecond)
	cfg.System.Spec.Services["front"] = slow
	env := up(t, cfg)
	require.NoError(t, env.Down(t.Context()))
	said := drain(env)
	first, last := slices.Index(said, "front stopped: signal killed"), slices.IndexFunc(said, func(s string) bool { return strings.HasPrefix(s, "back stopped") })
	require.GreaterOrEqual(t, first, 0, said)
	assert.Greater(t, last, first, "back answers as long as front may ask: %s", said)
}

func TestDownWithoutPatience(t *testing.T) {
	env := up(t, testConfig(t.TempDir(), longLease))
	trail := trailOf(t, env.Locator())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, env.Down(ctx))
	trail.requireGone(t)
}

func TestServiceThatCrashesFailsUp(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir, longLease)
	crash := cfg.System.Spec.Services["back"]
	crash.Command = []string{os.Args[0], "crash"}
	cfg.System.Spec.Services["back"] = crash
	env := New(cfg)
	err := env.Up(t.Context())
	require.ErrorContains(t, err, "start back: ended before it was ready")
	require.ErrorContains(t, err, "cannot open the database")
	left, err := os.ReadDir(environmentsDir(cfg.StateDir))
	require.NoError(t, err)
	assert.Empty(t, left)
	require.NoError(t, env.Down(t.Context()))
	assert.Contains(t, drain(env), "back exited: exit code 3")
}

func TestUpTriesOtherPortsWhenOneWasTaken(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir, longLease)
	memory := filepath.Join(dir, "memory")
	unlucky := cfg.System.Spec.Services["back"]
	unlucky.Command = []string{os.Args[0], "unlucky", "${self.http}", memory}
	cfg.System.Spec.Services["back"] = unlucky
	env := up(t, cfg)
	first, err := os.ReadFile(memory)
	require.NoError(t, err)
	assert.NotEqual(t, "http://"+string(first), env.Services()[0].URL)
	left, err := os.ReadDir(environmentsDir(cfg.StateDir))
	require.NoError(t, err)
	assert.Len(t, left, 1, "the first attempt has left nothing")
}

func TestServiceThatIsNeverReadyFailsUp(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	slow := cfg.System.Spec.Services["back"]
	slow.Ready = spec.Ready{HTTP: "/via/NOWHERE", Within: spec.Duration(time.Second)}
	cfg.System.Spec.Services["back"] = slow
	env := New(cfg)
	err := env.Up(t.Context())
	require.ErrorContains(t, err, "start back: not ready within 1s")
	require.ErrorContains(t, err, "502")
	require.NoError(t, env.Down(t.Context()))
}

func TestUpWithoutSquallSaysSo(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	cfg.Self = []string{os.Args[0], "crash"}
	require.ErrorContains(t, New(cfg).Up(t.Context()), "start supervisor")
}

func TestEnvironmentsSideBySide(t *testing.T) {
	dir := t.TempDir()
	one, two := up(t, testConfig(dir, longLease)), up(t, testConfig(dir, longLease))
	assert.NotEqual(t, one.Services()[0].URL, two.Services()[0].URL)
	require.NoError(t, one.Down(t.Context()))
	u, err := url.Parse(two.Services()[0].URL)
	require.NoError(t, err)
	assert.Equal(t, u.Host, get(t, two.ClientEnv()["FRONT_URL"]+"/via/BACK_URL"))
}

func TestProcessFaults(t *testing.T) {
	env := up(t, testConfig(t.TempDir(), longLease))
	ctx := t.Context()
	target, err := env.Target("back")
	require.NoError(t, err)
	back := target.(faults.Process)
	is := func(id faults.ProcessID, want string) {
		t.Helper()
		require.Eventually(t, func() bool { got, err := back.State(ctx, id); return err == nil && got == want }, soon, often, "want "+want)
	}
	id, err := back.Identity(ctx)
	require.NoError(t, err)
	is(id, "running")

	require.NoError(t, back.Signal(ctx, id, "STOP"))
	is(id, "stopped")
	require.NoError(t, back.Signal(ctx, id, "CONT"))
	is(id, "running")

	stale := faults.ProcessID{PID: id.PID, Start: id.Start - 1}
	require.ErrorIs(t, back.Signal(ctx, stale, "KILL"), faults.ErrNotRunning)
	is(stale, "dead")
	is(id, "running")
	require.ErrorContains(t, back.Signal(ctx, id, "HUP"), "unknown signal")

	require.NoError(t, back.Signal(ctx, id, "KILL"))
	is(id, "dead")
	_, err = back.Identity(ctx)
	require.ErrorIs(t, err, faults.ErrNotRunning)
	require.ErrorIs(t, back.Signal(ctx, id, "KILL"), faults.ErrNotRunning)
	picture, err := env.Snapshot(ctx)
	require.NoError(t, err)
	assert.Equal(t, "dead", picture["process back"], "only Start starts it again")

	require.NoError(t, back.Start(ctx))
	again, err := back.Identity(ctx)
	require.NoError(t, err)
	assert.NotEqual(t, id, again)
	require.NoError(t, back.Start(ctx), "running: nothing to do")
	same, err := back.Identity(ctx)
	require.NoError(t, err)
	assert.Equal(t, again, same)
	assert.Equal(t, strings.TrimPrefix(env.Services()[0].URL, "http://"), get(t, env.ClientEnv()["FRONT_URL"]+"/via/BACK_URL"))

	require.NoError(t, env.Down(ctx))
	assert.Equal(t, []string{
		"back started", "back ready", "back paused: sent stopped (signal)", "back resumed: sent continued",
		"back killed: sent killed", "back exited: signal killed", "back restarted", "back ready", "back stopped: signal terminated",
	}, only(drain(env), "back"))
}

func TestEveryTargetOfTheFileIsKnown(t *testing.T) {
	cfg := testConfig(t.TempDir(), longLease)
	cfg.System.Spec.Edges = append(cfg.System.Spec.Edges,
		spec.Edge{Caller: "back", Callee: "front", Protocol: "nats", Env: "BUS", Port: "http"})
	env := up(t, cfg)
	link, err := env.Target("front -> back")
	require.NoError(t, err)
	assert.Equal(t, "front -> back", link.Name())
	assert.Implements(t, (*faults.Link)(nil), link)
	assert.NotImplements(t, (*faults.Bus)(nil), link)

	bus, err := env.Target("back -> front")
	require.NoError(t, err)
	assert.Implements(t, (*faults.Link)(nil), bus)
	assert.Equal(t, "nats"+strings.TrimPrefix(env.Services()[1].URL, "http"), bus.(faults.Bus).URL())

	_, err = env.Target("front -> bakc")
	require.EqualError(t, err, `target "front -> bakc": no such service or edge, known: back, front, client -> front, front -> back, back -> front`)
}

func TestSnapshotShowsStagesUntilTheyAreGone(t *testing.T) {
	env := up(t, testConfig(t.TempDir(), longLease))
	ctx := t.Context()
	before, err := env.Snapshot(ctx)
	require.NoError(t, err)
	back := strings.TrimPrefix(env.Services()[0].URL, "http://")
	assert.Equal(t, map[string]string{
		"process back": "running", "process front": "running", "process squall-proxy": "running",
		"proxy client.front":     "enabled true, upstream " + strings.TrimPrefix(env.Services()[1].URL, "http://"),
		"proxy front.back":       "enabled true, upstream " + back,
		"stages of client.front": "", "stages of front.back": "",
		"holds on back": "", "holds on front": "",
	}, before)

	target, err := env.Target("front -> back")
	require.NoError(t, err)
	link := target.(faults.Link)
	stage := faults.Stage{HTTP: &faults.HTTPRule{Action: faults.HTTPStatus, Status: 503}, Owner: env.cfg.Owner, Lease: longLease}
	require.NoError(t, link.PutStage(ctx, "b", stage))
	require.NoError(t, link.PutStage(ctx, "a", stage))
	during, err := env.Snapshot(ctx)
	require.NoError(t, err)
	assert.Equal(t, "a, b", during["stages of front.back"])
	require.NoError(t, env.Renew(ctx))

	require.NoError(t, link.DeleteStage(ctx, "a"))
	require.NoError(t, link.DeleteStage(ctx, "b"))
	after, err := env.Snapshot(ctx)
	require.NoError(t, err)
	assert.Equal(t, before, after)
}

func TestWireSeesRequests(t *testing.T) {
	env := up(t, testConfig(t.TempDir(), longLease))
	wire, err := env.Wire(t.Context())
	require.NoError(t, err)
	defer func() { _ = wire.Close() }()
	get(t, env.ClientEnv()["FRONT_URL"]+"/via/BACK_URL")
	in := json.NewDecoder(wire)
	seen := map[string]string{}
	for len(seen) < 2 {
		var x struct{ Edge, Path string }
		require.NoError(t, in.Decode(&x))
		seen[x.Edge] = x.Path
	}
	assert.Equal(t, map[string]string{"client -> front": "/via/BACK_URL", "front -> back": "/env/SELF"}, seen)
}

func TestHeartbeatKeepsTheEnvironmentAlive(t *testing.T) {
	const lease = 400 * time.Millisecond
	env := up(t, testConfig(t.TempDir(), lease))
	trail := trailOf(t, env.Locator())
	tick := time.NewTicker(lease / 8)
	defer tick.Stop()
	for range 24 { // three leases
		<-tick.C
		require.NoError(t, env.Renew(t.Context()))
	}
	assert.True(t, trail.alive())
	require.Eventually(t, func() bool { return !trail.alive() }, soon, often, "no heartbeat any more")
	trail.requireGone(t)
	require.Error(t, env.Renew(t.Context()))
	require.NoError(t, env.Down(t.Context()), "it went by itself")
	assert.Contains(t, drain(env), "squall-supervisor exited: its event stream ended")
}

// trail is what an environment must not leave.
type trail struct {
	*stateFile
	folder string
}

func trailOf(t *testing.T, where json.RawMessage) trail {
	t.Helper()
	var l locator
	require.NoError(t, json.Unmarshal(where, &l))
	state, err := readStateFile(l.Folder)
	require.NoError(t, err)
	require.Len(t, state.Processes, len(state.Services)+len(state.own()))
	return trail{state, l.Folder}
}

func (tr trail) requireGone(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return !tr.alive() }, soon, often, "supervisor")
	for name, id := range tr.Processes {
		require.Eventually(t, func() bool { return stateOf(id) == stateDead }, soon, often, name)
	}
	require.NoDirExists(t, tr.folder)
	tr.requirePortsFree(t)
}

func (tr trail) requirePortsFree(t *testing.T) {
	t.Helper()
	for _, addr := range append([]string{strings.TrimPrefix(tr.ProxyURL, "http://")}, tr.addresses()...) {
		l, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

func (tr trail) addresses() []string {
	var out []string
	for _, l := range tr.Links {
		out = append(out, l.Listen, l.Upstream)
	}
	return out
}

// drain reads the events of an environment that went down, "service event: detail".
func drain(env *Environment) []string {
	var out []string
	for ev := range env.Events() {
		out = append(out, sayEvent(ev))
	}
	return out
}

func sayEvent(ev targets.Event) string {
	text := ev.Service + " " + ev.Event
	if ev.Detail != "" && ev.Event != eventStarted && ev.Event != eventRestarted {
		text += ": " + ev.Detail
	}
	return text
}

func only(events []string, service string) []string {
	var out []string
	for _, ev := range events {
		if strings.HasPrefix(ev, service+" ") {
			out = append(out, ev)
		}
	}
	return out
}
