// Package squalltest lets a Go test put Squall's proxies between containers
// that it has started with dockertest, break them, drive load and have the
// verdict as test failures, with a report file.
//
//	s := squalltest.New(t, pool, network)
//	store := s.Edge("api -> store", "tcp", "store:7000")   // what api is told
//	api := s.Edge("client -> api", "http", "api:8080")     // what the load is told
//	... start the containers ...
//	s.Service("api", apiResource, map[string]string{"http": "8080"})
//	s.Service("store", storeResource, map[string]string{"kv": "7000"})
//	s.Check("testdata/store-slow.yaml")
//
// The scenario is one as squall run takes it; its system is what the test has
// declared, whatever spec.system says. It needs Docker, and k6 with Squall's
// extension (SQUALL_K6, or the one that make k6 has built).
package squalltest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ory/dockertest/v3"
	dc "github.com/ory/dockertest/v3/docker"
	"github.com/stretchr/testify/assert"
	"go.yaml.in/yaml/v4"

	"squall/faults/proxy"
	"squall/runner/targets/docker"
	"squall/runner/targets/ports"
	"squall/runner/verdict"
)

// T is what is needed of *testing.T.
type T interface {
	assert.TestingT
	Helper()
	Logf(format string, args ...any)
	FailNow()
	Cleanup(func())
	TempDir() string
}

// System is containers under test and the proxy between them.
type System struct {
	t        T
	squall   string
	api      string // of the proxy
	token    string
	inside   string // host name of the proxy on the network
	free     []string
	client   *proxy.Client
	services map[string]any
	edges    map[string]any
	slos     []string
}

const (
	tokenVariable = "SQUALLTEST_PROXY_TOKEN"
	mostEdges     = 24
	longestTest   = 30 * 60 // seconds after which Docker ends the proxy of a test that was killed
	upWithin      = 30 * time.Second
)

// program builds squall once: it is the runner, and the one file of the proxy's image.
var program = sync.OnceValues(func() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	file := filepath.Join(cache, "squall", "squalltest", "squall")
	cmd := exec.Command("go", "build", "-o", file, "squall/runner/cmd/squall")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build squall: %w: %s", err, out)
	}
	return file, nil
})

// New starts a proxy on a network of the test's. It is removed with the test.
func New(t T, pool *dockertest.Pool, network *dockertest.Network) *System {
	t.Helper()
	s := &System{t: t, token: rand.Text(), services: map[string]any{}, edges: map[string]any{}}
	s.require(s.start(pool, network))
	return s
}

func (s *System) start(pool *dockertest.Pool, network *dockertest.Network) (err error) {
	if s.squall, err = program(); err != nil {
		return err
	}
	image, err := docker.ImageOf(context.Background(), "squall", s.squall)
	if err != nil {
		return err
	}
	repository, tag, _ := strings.Cut(image, ":")
	if s.free, err = freePorts(mostEdges + 1); err != nil {
		return err
	}
	s.inside = "squall-" + strings.ToLower(rand.Text()[:8])
	options := &dockertest.RunOptions{
		Name: s.inside, Repository: repository, Tag: tag, Networks: []*dockertest.Network{network},
		Cmd:          []string{"proxy", "--listen", "0.0.0.0:" + s.free[0], "--token-env", tokenVariable},
		Env:          []string{tokenVariable + "=" + s.token},
		PortBindings: map[dc.Port][]dc.PortBinding{},
	}
	for _, port := range s.free { // the same outside as inside
		options.PortBindings[dc.Port(port+"/tcp")] = []dc.PortBinding{{HostIP: "127.0.0.1", HostPort: port}}
		options.ExposedPorts = append(options.ExposedPorts, port+"/tcp")
	}
	container, err := pool.RunWithOptions(options, on(network))
	if err != nil {
		return err
	}
	s.t.Cleanup(func() { s.check(pool.Purge(container)) })
	if err := container.Expire(longestTest); err != nil {
		return err
	}
	s.api, s.free = "http://127.0.0.1:"+s.free[0], s.free[1:]
	s.client = proxy.NewClient(s.api).WithToken(s.token)
	pool.MaxWait = upWithin
	return pool.Retry(func() error { _, err := s.client.Version(context.Background()); return err })
}

// on has a container's first network be that one: only there Docker resolves
// names of containers.
func on(network *dockertest.Network) func(*dc.HostConfig) {
	return func(c *dc.HostConfig) { c.NetworkMode = network.Network.Name }
}

// freePorts are some that no other program is given while the container starts.
func freePorts(n int) (free []string, err error) {
	held := ports.New()
	defer held.ReleaseAll()
	for range n {
		addr, err := held.Take()
		if err != nil {
			return nil, err
		}
		_, port, _ := net.SplitHostPort(addr)
		free = append(free, port)
	}
	return free, nil
}

// Edge puts a proxy on "caller -> callee" and returns host:port to tell the
// caller. upstream is the callee as the network knows it, by the Name that it was
// given in its dockertest.RunOptions; the caller "client"
// is the load, which finds the address in the variable CALLEE_URL of its script.
// Protocol is http, grpc, tcp, nats or postgres.
func (s *System) Edge(edge, protocol, upstream string) string {
	s.t.Helper()
	caller, callee, ok := strings.Cut(edge, " -> ")
	if !ok || len(s.free) == 0 {
		s.require(fmt.Errorf("edge %q: want \"caller -> callee\", and at most %d of them", edge, mostEdges))
	}
	port := s.free[0]
	s.free = s.free[1:]
	name := caller + "." + callee
	_, err := s.client.CreateProxy(context.Background(), proxy.Proxy{
		Name: name, Listen: "0.0.0.0:" + port, Upstream: upstream, Enabled: true, Protocol: protocol, Edge: edge, Service: edge,
	})
	s.require(err)
	e := map[string]any{"protocol": protocol, "through": map[string]any{"squall": s.api, "tokenEnv": tokenVariable, "proxy": name}}
	_, number, _ := net.SplitHostPort(upstream)
	e["port"] = "p" + number
	s.edges[edge] = e
	if caller != "client" {
		return net.JoinHostPort(s.inside, port)
	}
	e["env"] = strings.ToUpper(strings.ReplaceAll(callee, "-", "_")) + "_URL"
	return net.JoinHostPort("127.0.0.1", port)
}

// Service names a container that the scenario may break. Ports are numbers
// inside it by name; those that edges lead to are named pNUMBER as well.
func (s *System) Service(name string, container *dockertest.Resource, ports map[string]string) {
	at := map[string]any{}
	for port, number := range ports {
		at[port], at["p"+number] = number, number
	}
	s.services[name] = map[string]any{"container": strings.TrimPrefix(container.Container.Name, "/"), "at": at}
}

// SLOs are OpenSLO files that the scenario's checks name.
func (s *System) SLOs(files ...string) { s.slos = append(s.slos, files...) }

// Check runs a scenario file. Every finding that is not a pass fails the test,
// with its reason; the report's path is logged. It returns the result as well.
func (s *System) Check(scenario string) verdict.Result {
	s.t.Helper()
	dir := s.t.TempDir()
	system, err := s.systemFile(dir)
	s.require(err)
	out := filepath.Join(dir, "out")
	cmd := exec.Command(s.squall, "run", "--output", "plain", "--out", out, "--system", system, scenario)
	cmd.Env = append(os.Environ(), tokenVariable+"="+s.token)
	said, runErr := cmd.CombinedOutput()
	found, err := filepath.Glob(filepath.Join(out, "2*", "*", "verdict.json"))
	s.require(err)
	if len(found) != 1 {
		s.require(fmt.Errorf("squall run left no verdict: %w: %s", runErr, said))
	}
	text, err := os.ReadFile(found[0])
	s.require(err)
	var result verdict.Result
	s.require(json.Unmarshal(text, &result))
	s.t.Logf("%s: %s\nreport: %s", result.Verdict, result.Sentence, keep(filepath.Join(filepath.Dir(found[0]), "report.html"), scenario))
	for _, f := range result.Findings {
		if f.Verdict != verdict.Pass && f.Verdict != verdict.Skipped {
			assert.Fail(s.t, f.ID+": "+f.Why, "expected %s, measured %s", f.Expected, f.Measured)
		}
	}
	for _, left := range result.Dirty {
		assert.Fail(s.t, "not restored: "+left)
	}
	return result
}

// keep copies the report out of the test's folder, which goes with the test:
// to SQUALL_REPORTS, or beside other temporary files.
func keep(report, scenario string) string {
	dir := os.Getenv("SQUALL_REPORTS")
	if dir == "" {
		return report
	}
	to := filepath.Join(dir, strings.TrimSuffix(filepath.Base(scenario), ".yaml")+".html")
	text, err := os.ReadFile(report)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, text, 0o644)
	}
	if err != nil {
		return report
	}
	return to
}

// systemFile writes what the test has declared.
func (s *System) systemFile(dir string) (string, error) {
	spec := map[string]any{"target": "containers", "services": s.services, "edges": s.edges}
	if len(s.slos) > 0 {
		var all []any
		for _, f := range s.slos {
			abs, err := filepath.Abs(f)
			if err != nil {
				return "", err
			}
			rel, err := filepath.Rel(dir, abs)
			if err != nil {
				return "", err
			}
			all = append(all, rel)
		}
		spec["slos"] = all
	}
	for _, one := range s.services {
		svc := one.(map[string]any)
		svc["port"] = firstPort(svc["at"].(map[string]any))
	}
	text, err := yaml.Dump(map[string]any{"apiVersion": "squall/v1", "kind": "System", "metadata": map[string]any{"name": "containers"}, "spec": spec})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "system.yaml")
	return file, os.WriteFile(file, text, 0o600)
}

func firstPort(at map[string]any) string {
	var names []string
	for name := range at {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "http"
	}
	return names[0]
}

func (s *System) require(err error) {
	s.t.Helper()
	if !s.check(err) {
		s.t.FailNow()
	}
}

func (s *System) check(err error) bool {
	s.t.Helper()
	return assert.NoError(s.t, err)
}
