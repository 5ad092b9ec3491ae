package process

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/targets/docker"
	"squall/scenarios/spec"
)

// These tests run on real Docker. They skip only where there is none at all:
// where its command is installed, a daemon that does not answer is a failure.

const foreignSystem = `apiVersion: squall/v1
kind: System
metadata: {name: foreign}
spec:
  target: compose
  compose: {files: [FILE]}
  services:
    store: {at: {kv: "7000"}, ready: {tcp: kv}}
    api: {at: {http: "8080"}, ready: {http: /ready}, secrets: [STORE_PASSWORD]}
    front: {at: {http: "8080"}, ready: {http: /ready}}
  edges:
    client -> front: {protocol: http, env: FRONT_URL}
    front -> api: {protocol: http, @API}
    api -> store: {protocol: tcp, port: kv, @STORE}
`

// staticDir is of static, once it was called: the tests' end removes it.
var staticDir string

// static is squall, and the foreign services, without any library of this machine.
var static = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "squall-static")
	if err != nil {
		return "", err
	}
	staticDir = dir
	_ = exec.Command("docker", "image", "rm", "squall-test-foreign").Run() // of an earlier foreign, if there is one
	for name, pkg := range map[string]string{"squall": "../../cmd/squall", "foreign": "./testdata/foreign"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", &exec.Error{Name: string(out), Err: err}
		}
	}
	return dir, nil
})

// project copies a compose project into a folder of its own.
func project(t *testing.T, file string) (dir, systemFile string) {
	t.Helper()
	if _, err := exec.LookPath("docker"); err != nil {
		t.Skip("docker is not installed")
	}
	bin, err := static()
	require.NoError(t, err)
	dir = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "data", "keep"), nil, 0o644))
	for from, to := range map[string]string{filepath.Join(bin, "foreign"): "foreign", "testdata/foreign/Dockerfile": "Dockerfile", "testdata/foreign/" + file: file} {
		text, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, to), text, 0o755))
	}
	edges := strings.NewReplacer("FILE", file, ", @API", "", ", @STORE", "")
	if file == "told.yml" {
		edges = strings.NewReplacer("FILE", file, "@API", "env: API_URL", "@STORE", "env: STORE_URL")
	}
	systemFile = filepath.Join(dir, "system.yaml")
	require.NoError(t, os.WriteFile(systemFile, []byte(edges.Replace(foreignSystem)), 0o644))
	return dir, systemFile
}

func composeConfig(dir, systemFile, program string, lease time.Duration) (Config, error) {
	declared, problems := spec.LoadSystem(systemFile)
	if len(problems) > 0 {
		return Config{}, problems
	}
	sys, problems := declared.With()
	if len(problems) > 0 {
		return Config{}, problems
	}
	return Config{
		System: sys, RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"), Self: []string{program}, Owner: "run", Lease: lease,
		Environ: append(os.Environ(), "STORE_PASSWORD=planted$secret"),
	}, nil
}

// roleComposeRunner is a runner of a compose project: DIR SYSTEM SQUALL LEASE.
func roleComposeRunner(args []string) error {
	lease, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	cfg, err := composeConfig(args[0], args[1], args[2], lease)
	if err != nil {
		return err
	}
	env := New(cfg)
	if err := env.Up(context.Background()); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(env.Locator()); err != nil {
		return err
	}
	for range time.Tick(lease / 5) {
		if err := env.Renew(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// docker's own account of what there is of ours.
func dockerLeft(t *testing.T, project string) string {
	t.Helper()
	var all []string
	for _, list := range [][]string{{"ps", "-aq"}, {"network", "ls", "-q"}, {"volume", "ls", "-q"}} {
		out, err := exec.Command("docker", append(list, "--filter", "label=com.docker.compose.project="+project)...).CombinedOutput()
		require.NoError(t, err, string(out))
		all = append(all, strings.Fields(string(out))...)
	}
	return strings.Join(all, " ")
}

func texts(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, file := range []string{"fixed.yml", "told.yml", "Dockerfile", "system.yaml"} {
		if text, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
			out[file] = string(text)
		}
	}
	return out
}

func answer200(url string) (string, int) {
	c := &http.Client{Timeout: 4 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		return err.Error(), 0
	}
	defer func() { _ = resp.Body.Close() }()
	text := make([]byte, 200)
	n, _ := resp.Body.Read(text)
	return strings.TrimSpace(string(text[:n])), resp.StatusCode
}

func TestComposeProject(t *testing.T) {
	for _, file := range []string{"fixed.yml", "told.yml"} {
		t.Run(file, func(t *testing.T) {
			dir, systemFile := project(t, file)
			bin, _ := static()
			before := texts(t, dir)
			cfg, err := composeConfig(dir, systemFile, filepath.Join(bin, "squall"), time.Minute)
			require.NoError(t, err)
			env := New(cfg)
			t.Cleanup(func() { _ = env.Down(context.Background()) })
			require.NoError(t, env.Up(t.Context()))
			name := env.session().world.bp.Project.Name
			require.NotEmpty(t, dockerLeft(t, name))
			url := env.ClientEnv()["FRONT_URL"] + "/"
			said, code := answer200(url)
			require.Equal(t, http.StatusOK, code, said)
			require.Equal(t, "pong", said)

			composeFaults(t, env, url)
			if file == "told.yml" {
				composeLimits(t, env)
			}

			snapshot, err := env.Snapshot(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "running", snapshot["process store"])
			require.NoError(t, env.Down(t.Context()))
			assert.Empty(t, dockerLeft(t, name))
			assert.Equal(t, before, texts(t, dir), "the project is as it was")
			assertNoSecret(t, filepath.Join(dir, "run"), "planted")
			if file == "told.yml" {
				log, err := os.ReadFile(filepath.Join(dir, "run", "logs", "api.log"))
				require.NoError(t, err)
				assert.Contains(t, string(log), "store: kv://user:[STORE_PASSWORD]@squall-proxy:", "it got the password, and told everybody")
			}
		})
	}
}

// composeFaults breaks edges one by one and containers one by one.
func composeFaults(t *testing.T, env *Environment, url string) {
	t.Helper()
	for _, edge := range []string{"client -> front", "front -> api", "api -> store"} {
		target, err := env.Target(edge)
		require.NoError(t, err)
		link := target.(faults.Link)
		require.NoError(t, link.PutStage(t.Context(), "cut", faults.Stage{Mode: faults.LinkRefuse}), edge)
		_, code := answer200(url)
		assert.NotEqual(t, 200, code, "%s is cut", edge)
		require.NoError(t, link.DeleteStage(t.Context(), "cut"))
		require.Eventually(t, func() bool { _, code := answer200(url); return code == 200 }, 10*time.Second, 50*time.Millisecond, edge)
	}

	target, err := env.Target("store")
	require.NoError(t, err)
	store := target.(faults.Process)
	id, err := store.Identity(t.Context())
	require.NoError(t, err)
	require.NoError(t, store.Signal(t.Context(), id, "STOP"))
	_, code := answer200(url)
	assert.NotEqual(t, 200, code, "the store is paused")
	state, err := store.State(t.Context(), id)
	require.NoError(t, err)
	assert.Equal(t, stateStopped, state)
	require.NoError(t, store.Signal(t.Context(), id, "CONT"))
	require.Eventually(t, func() bool { _, code := answer200(url); return code == 200 }, 10*time.Second, 50*time.Millisecond)

	require.NoError(t, store.Signal(t.Context(), id, "KILL"))
	require.Eventually(t, func() bool { state, err := store.State(t.Context(), id); return err == nil && state == stateDead }, 10*time.Second, 20*time.Millisecond)
	_, code = answer200(url)
	assert.NotEqual(t, 200, code, "the store is dead, and its restart policy does not undo the fault")
	require.NoError(t, store.Start(t.Context()))
	require.Eventually(t, func() bool { _, code := answer200(url); return code == 200 }, 10*time.Second, 50*time.Millisecond)

	holder := target.(faults.Holder)
	require.NoError(t, holder.PutHold(t.Context(), "again", faults.Hold{Cycle: &faults.Cycle{Signal: "KILL", Times: 1}}))
	require.Eventually(t, func() bool { _, code := answer200(url); return code == 200 }, 20*time.Second, 50*time.Millisecond)
	require.NoError(t, holder.DeleteHold(t.Context(), "again"))
}

// composeLimits takes CPU and memory from containers: from one that had no limit,
// which ends up with none that it could feel, and from one that had some, which
// ends up with exactly those.
func composeLimits(t *testing.T, env *Environment) {
	t.Helper()
	machine, err := docker.MachineOf(t.Context())
	require.NoError(t, err)
	for service, after := range map[string]docker.Limits{
		"store": {NanoCpus: machine.CPUs * 1e9, Memory: machine.Memory, MemorySwap: machine.Memory},
		"api":   {NanoCpus: 0.75e9, Memory: 256 << 20, MemorySwap: 320 << 20},
	} {
		container := env.session().world.bp.Project.Container(service)
		target, err := env.Target(service)
		require.NoError(t, err)
		holder := target.(faults.Holder)
		for id, hold := range map[string]faults.Hold{"cpu": {CPU: 0.25}, "memory": {Memory: &faults.MemoryRule{Headroom: 32 << 20}}} {
			require.NoError(t, holder.PutHold(t.Context(), id, hold))
			e, err := holder.HoldStatus(t.Context(), id)
			require.NoError(t, err)
			assert.True(t, e.Active)
		}
		now, err := docker.LimitsOf(t.Context(), container)
		require.NoError(t, err)
		assert.EqualValues(t, 0.25e9, now.NanoCpus, service)
		assert.Positive(t, now.Memory, service)
		assert.LessOrEqual(t, now.Memory, int64(100<<20), service)
		assert.Equal(t, now.Memory, now.MemorySwap, service)
		require.NoError(t, holder.DeleteHold(t.Context(), "cpu"))
		require.NoError(t, holder.DeleteHold(t.Context(), "memory"))
		now, err = docker.LimitsOf(t.Context(), container)
		require.NoError(t, err)
		assert.Equal(t, after, now, service)
	}
}

// assertNoSecret looks into every file below a folder.
func assertNoSecret(t *testing.T, dir, secret string) {
	t.Helper()
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		text, err := os.ReadFile(path)
		assert.NotContains(t, string(text), secret, path)
		return err
	}))
	assert.NotZero(t, files, "there are logs to look into")
}

// Whoever dies, nothing of the project stays: the supervisor removes it when
// its runner is killed, and sweeping does when the supervisor is.
func TestComposeProjectOfAKilledRunner(t *testing.T) {
	dir, systemFile := project(t, "told.yml")
	bin, _ := static()
	start := func() (*exec.Cmd, *Attached) {
		cmd := exec.Command(os.Args[0], "compose-runner", dir, systemFile, filepath.Join(bin, "squall"), "20s")
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		cmd.Stderr = os.Stderr
		require.NoError(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadBytes('\n')
		require.NoError(t, err)
		env, err := Attach(t.Context(), line)
		require.NoError(t, err)
		require.NotEmpty(t, dockerLeft(t, env.state.Project.Name))
		return cmd, env
	}
	cmd, env := start()
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	require.Eventually(t, func() bool { return !env.state.alive() }, 40*time.Second, 50*time.Millisecond)
	assert.Empty(t, dockerLeft(t, env.state.Project.Name), "its runner was killed")

	cmd, env = start()
	require.NoError(t, signalExactly(env.state.Supervisor, syscall.SIGKILL))
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	require.NotEmpty(t, dockerLeft(t, env.state.Project.Name), "nobody was left to remove it")
	_, err := Sweep(t.Context(), filepath.Join(dir, "state"))
	require.NoError(t, err)
	assert.Empty(t, dockerLeft(t, env.state.Project.Name), "squall heal has")
}

// Two copies of a project, with its fixed names and ports, and a system of
// processes run on one machine at the same time, and each answers for itself.
func TestComposeProjectsSideBySide(t *testing.T) {
	bin, err := static()
	require.NoError(t, err)
	var up []*Environment
	for range 2 {
		dir, systemFile := project(t, "fixed.yml")
		cfg, err := composeConfig(dir, systemFile, filepath.Join(bin, "squall"), time.Minute)
		require.NoError(t, err)
		env := New(cfg)
		t.Cleanup(func() { _ = env.Down(context.Background()) })
		up = append(up, env)
	}
	var starting sync.WaitGroup
	for _, env := range up {
		starting.Go(func() { assert.NoError(t, env.Up(t.Context())) })
	}
	processes := New(testConfig(t.TempDir(), longLease))
	t.Cleanup(func() { _ = processes.Down(context.Background()) })
	starting.Go(func() { assert.NoError(t, processes.Up(t.Context())) })
	starting.Wait()
	require.False(t, t.Failed())
	url := func(i int) string { return up[i].ClientEnv()["FRONT_URL"] + "/" }
	target, err := up[0].Target("store")
	require.NoError(t, err)
	id, err := target.(faults.Process).Identity(t.Context())
	require.NoError(t, err)
	require.NoError(t, target.(faults.Process).Signal(t.Context(), id, "KILL"))
	require.Eventually(t, func() bool { _, code := answer200(url(0)); return code != http.StatusOK }, 20*time.Second, 50*time.Millisecond)
	said, code := answer200(url(1))
	assert.Equal(t, http.StatusOK, code, said)
	assert.NotEmpty(t, get(t, processes.ClientEnv()["FRONT_URL"]+"/via/BACK_URL"))
}
