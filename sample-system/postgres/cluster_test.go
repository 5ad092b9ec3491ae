package postgres

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

// TestMain is also the node itself: a test starts this program again as one,
// since it is going to kill it.
func TestMain(m *testing.M) {
	if os.Getenv("SQUALL_TEST_NODE") != "" {
		os.Exit(runNode())
	}
	os.Exit(storetest.Main(m))
}

// runNode runs until SIGTERM, or until the test that holds its input is gone.
func runNode() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	cfg, err := service.FromEnv("postgres", os.Getenv, os.Stderr)
	if err == nil {
		var h *service.Host
		if h, err = service.New(ctx, cfg, Setup); err == nil {
			err = h.Run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

type cluster struct {
	t     *testing.T
	env   []string
	dir   string
	pg    [2]string // host:port of the servers
	http  [2]string
	nodes [2]*exec.Cmd
}

func newCluster(t *testing.T) *cluster {
	dir, err := os.MkdirTemp("", "squall-cluster-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o711)) // for the user that the servers run as
	ports := freePorts(t, 4)
	c := &cluster{t: t, dir: dir, pg: [2]string(ports[:2]), http: [2]string(ports[2:])}
	c.env = append(os.Environ(), "SQUALL_TEST_NODE=1", "NATS_URL="+bustest.Start(t), "SHOP_DATA="+dir, "PG_FSYNC=off",
		"PG_NODES="+c.pg[0]+","+c.pg[1])
	t.Cleanup(func() {
		for i := range c.nodes {
			c.signal(i, syscall.SIGCONT)
			c.kill(i)
		}
		assert.Eventually(t, func() bool { return len(processesOf(dir)) == 0 }, 10*time.Second, 50*time.Millisecond, "processes survive")
		assert.NoError(t, os.RemoveAll(dir))
	})
	return c
}

func freePorts(t *testing.T, n int) (addrs []string) {
	for _, port := range bustest.FreePorts(t, n) {
		addrs = append(addrs, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	}
	return addrs
}

// start starts node i, from 0.
func (c *cluster) start(i int) {
	name := fmt.Sprintf("postgres-%d", i+1)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(c.env, "SHOP_NAME="+name, "SHOP_LISTEN="+c.http[i], "PG_LISTEN="+c.pg[i])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	require.NoError(c.t, err)
	out, err := cmd.StderrPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, cmd.Start())
	c.nodes[i] = cmd
	var wg sync.WaitGroup
	wg.Go(func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			c.t.Log(s.Text())
		}
	})
	c.t.Cleanup(func() { in.Close(); wg.Wait() })
}

func (c *cluster) signal(i int, s syscall.Signal) {
	if c.nodes[i] != nil {
		_ = c.nodes[i].Process.Signal(s)
	}
}

// kill is kill -9 of agent and server.
func (c *cluster) kill(i int) {
	if c.nodes[i] != nil {
		_ = syscall.Kill(-c.nodes[i].Process.Pid, syscall.SIGKILL)
		_, _ = c.nodes[i].Process.Wait()
		c.nodes[i] = nil
	}
}

// killAgent is kill -9 of the agent alone.
func (c *cluster) killAgent(i int) {
	c.signal(i, syscall.SIGKILL)
	_, _ = c.nodes[i].Process.Wait()
	c.nodes[i] = nil
}

// terminate is SIGTERM, and waits.
func (c *cluster) terminate(i int) {
	c.signal(i, syscall.SIGTERM)
	state, err := c.nodes[i].Process.Wait()
	require.NoError(c.t, err)
	assert.Zero(c.t, state.ExitCode())
	c.nodes[i] = nil
}

func (c *cluster) ready(i int) bool {
	resp, err := http.Get("http://" + c.http[i] + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (c *cluster) awaitReady(nodes ...int) {
	c.t.Helper()
	for _, i := range nodes {
		require.Eventually(c.t, func() bool { return c.ready(i) }, 30*time.Second, 20*time.Millisecond, "node %d is not ready", i+1)
	}
}

// role says which role node i plays.
func (c *cluster) role(i int) string {
	metrics := c.metrics(i)
	for _, role := range []string{"primary", "standby"} {
		if strings.Contains(metrics, `pg_role{role="`+role+`"} 1`) {
			return role
		}
	}
	return "none"
}

// metrics are those of node i, none while it does not listen.
func (c *cluster) metrics(i int) string {
	resp, err := http.Get("http://" + c.http[i] + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return string(body)
}

// awaitSync waits until both nodes know that the standby could take over;
// readiness follows it half a second later, either way.
func (c *cluster) awaitSync() {
	c.t.Helper()
	for i := range c.nodes {
		require.Eventually(c.t, func() bool { return strings.Contains(c.metrics(i), "\npg_replication_in_sync 1\n") },
			30*time.Second, 20*time.Millisecond, "node %d knows of no standby in sync", i+1)
	}
	c.awaitReady(0, 1)
}

func (c *cluster) awaitRole(i int, role string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool { return c.role(i) == role }, 10*time.Second, 20*time.Millisecond, "node %d is no %s", i+1, role)
}

// writersPerTerm is who has been primary in which term, as node i knows it.
func (c *cluster) writersPerTerm(i int) map[string]map[string]bool {
	_, body := servicetest.Get(c.t, "http://"+c.http[i]+"/audit/terms")
	var rows []audit.Row
	require.NoError(c.t, json.Unmarshal([]byte(body), &rows), body)
	terms := map[string]map[string]bool{}
	for _, r := range rows {
		if terms[r.Key] == nil {
			terms[r.Key] = map[string]bool{}
		}
		terms[r.Key][r.Attrs["writer"]] = true
	}
	return terms
}

// processesOf are the processes that have something of dir on their command line.
func processesOf(dir string) (pids []int) {
	entries, _ := filepath.Glob("/proc/[0-9]*")
	for _, e := range entries {
		line, _ := os.ReadFile(e + "/cmdline")
		if pid, err := strconv.Atoi(filepath.Base(e)); err == nil && bytes.Contains(line, []byte(dir)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// tree is a process and all below it.
func tree(pid int) []int {
	pids := []int{pid}
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, c := range children {
		list, _ := os.ReadFile(c)
		for f := range strings.FieldsSeq(string(list)) {
			if child, err := strconv.Atoi(f); err == nil {
				pids = append(pids, tree(child)...)
			}
		}
	}
	return pids
}

// pause stops processes of node i; the result lets them go on.
func (c *cluster) pause(pids []int) (resume func()) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	resume = func() {
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	c.t.Cleanup(resume) // what is stopped does not notice that its parent dies
	return resume
}

// all is agent and server of node i with its sessions.
func (c *cluster) all(i int) []int {
	pids := tree(c.nodes[i].Process.Pid)
	require.Greater(c.t, len(pids), 5, "server and sessions")
	return pids
}

// withoutSessions is agent and server of node i; its sessions go on.
func (c *cluster) withoutSessions(i int) []int { return []int{-c.nodes[i].Process.Pid} }
