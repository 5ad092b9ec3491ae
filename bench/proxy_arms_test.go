package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Toxics of the faulted arms, as Toxiproxy writes them.
const (
	latency0 = `latency0 {"type":"latency","attributes":{"latency":0}}`
	latency1 = `latency1 {"type":"latency","attributes":{"latency":1}}`
	wide     = `bandwidth {"type":"bandwidth","attributes":{"rate":100000000}}` // a limit nobody meets
)

// spliceUpstream makes the test binary the splice proxy.
const spliceUpstream = "SQUALL_BENCH_SPLICE_UPSTREAM"

// arm is one way to a server of its own.
type arm struct {
	name string
	addr string
	pid  int    // of the proxy; 0: none
	api  string // Toxiproxy's, if it has one
	up   string // the server
	stop func()
}

// measure returns units per second, and CPU seconds of the proxy per unit.
func (a *arm) measure(b *testing.B, drive func(*testing.B, string) float64) (rate, cost float64) {
	before, begun := a.cpu(b), time.Now()
	units := drive(b, a.addr)
	rate = units / time.Since(begun).Seconds()
	if a.pid != 0 {
		cost = (a.cpu(b) - before) / units
	}
	return rate, cost
}

func direct(b *testing.B) *arm {
	up := serve(b)
	return &arm{name: "direct", addr: up, up: up, stop: func() {}}
}

func squallArm(b *testing.B, protocol, toxic string) *arm {
	squall := os.Getenv("SQUALL_BIN")
	if squall == "" {
		b.Fatal("SQUALL_BIN must name the binary; run make bench")
	}
	api := freeAddr(b)
	a := start(b, "squall-"+protocol, exec.Command(squall, "proxy", "--listen", api))
	a.api = "http://" + api
	a.addr = a.post(b, "/proxies", map[string]any{
		"name": "edge", "listen": "127.0.0.1:0", "upstream": a.up, "enabled": true, "protocol": protocol,
	})
	a.addToxic(b, toxic)
	return a
}

// toxiproxyArm is the stock server, built from the module that go.mod pins.
func toxiproxyArm(b *testing.B, toxic string) *arm {
	server := filepath.Join(os.TempDir(), fmt.Sprintf("squall-bench-toxiproxy-%d", os.Getpid()))
	if _, err := os.Stat(server); err != nil {
		out, err := exec.Command("go", "build", "-o", server, "github.com/Shopify/toxiproxy/v2/cmd/server").CombinedOutput()
		require.NoError(b, err, "%s", out)
		b.Cleanup(func() { os.Remove(server) })
	}
	host, port, err := net.SplitHostPort(freeAddr(b))
	require.NoError(b, err)
	a := start(b, "toxiproxy", exec.Command(server, "-host", host, "-port", port))
	a.api = "http://" + net.JoinHostPort(host, port)
	a.addr = a.post(b, "/proxies", map[string]any{
		"name": "edge", "listen": "127.0.0.1:0", "upstream": a.up, "enabled": true,
	})
	a.addToxic(b, toxic)
	return a
}

func spliceArm(b *testing.B) *arm {
	self, err := os.Executable()
	require.NoError(b, err)
	cmd := exec.Command(self)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	a := start(b, "splice", cmd)
	_, err = fmt.Fscanln(out, &a.addr)
	require.NoError(b, err)
	return a
}

// haproxyArm is nil where HAProxy is not installed.
func haproxyArm(b *testing.B) *arm {
	haproxy, err := exec.LookPath("haproxy")
	if err != nil {
		if haproxy = "/usr/sbin/haproxy"; !exists(haproxy) {
			return nil
		}
	}
	addr := freeAddr(b)
	config := filepath.Join(b.TempDir(), "haproxy.cfg")
	a := start(b, "haproxy", nil)
	require.NoError(b, os.WriteFile(config, fmt.Appendf(nil, `global
  maxconn 6000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen edge
  bind %s
  option splice-auto
  server up %s
`, addr, a.up), 0o600))
	a.run(b, exec.Command(haproxy, "-db", "-f", config))
	a.addr = addr
	require.Eventually(b, func() bool { return answers(addr) }, 10*time.Second, 5*time.Millisecond)
	return a
}

// start gives an arm its server, and runs the proxy.
func start(b *testing.B, name string, cmd *exec.Cmd) *arm {
	a := &arm{name: name, up: serve(b)}
	if cmd != nil {
		cmd.Env = append(os.Environ(), spliceUpstream+"="+a.up)
		a.run(b, cmd)
	}
	return a
}

// run runs the proxy until stop, or the benchmark's end.
func (a *arm) run(b *testing.B, cmd *exec.Cmd) {
	require.NoError(b, cmd.Start())
	a.pid = cmd.Process.Pid
	stopped := false
	a.stop = func() {
		if !stopped {
			stopped = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	b.Cleanup(a.stop)
}

// addToxic adds a toxic given as "name body"; it becomes part of the arm's name.
func (a *arm) addToxic(b *testing.B, toxic string) {
	if name, body, ok := strings.Cut(toxic, " "); ok {
		a.name += "+" + name
		a.post(b, "/proxies/edge/toxics", json.RawMessage(body))
	}
}

// addEdge adds a proxy to the same server and uses it once.
func (a *arm) addEdge(b *testing.B, name string) {
	addr := a.post(b, "/proxies", map[string]any{"name": name, "listen": "127.0.0.1:0", "upstream": a.up, "enabled": true})
	for _, nc := range openIdle(b, addr, 1) {
		nc.Close()
	}
}

// post sends in to Toxiproxy's API, as soon as that is up, and returns the
// address that the answer names.
func (a *arm) post(b *testing.B, path string, in any) string {
	body, err := json.Marshal(in)
	require.NoError(b, err)
	var resp *http.Response
	require.Eventually(b, func() bool {
		resp, err = http.Post(a.api+path, "application/json", bytes.NewReader(body))
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	require.NoError(b, err)
	require.Less(b, resp.StatusCode, 300, "%s", out)
	var proxy struct{ Listen string }
	require.NoError(b, json.Unmarshal(out, &proxy))
	return proxy.Listen
}

// cpu is the CPU time of all threads of the proxy, in seconds.
func (a *arm) cpu(b *testing.B) (seconds float64) {
	if a.pid == 0 {
		return 0
	}
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", a.pid))
	require.NoError(b, err)
	for _, file := range stats {
		var ns float64
		data, err := os.ReadFile(file)
		require.NoError(b, err)
		fmt.Sscan(string(data), &ns)
		seconds += ns / 1e9
	}
	return seconds
}

// rss is the resident memory of a process in bytes.
func rss(b *testing.B, pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	require.NoError(b, err)
	pages, err := strconv.Atoi(strings.Fields(string(data))[1])
	require.NoError(b, err)
	return pages * os.Getpagesize()
}

func freeAddr(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	return l.Addr().String()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func answers(addr string) bool {
	nc, err := net.Dial("tcp", addr)
	if err == nil {
		nc.Close()
	}
	return err == nil
}

// splice is the least a proxy can be: two copies, which the kernel splices. It
// says where it listens.
func splice(upstream string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			u, err := net.Dial("tcp", upstream)
			if err != nil {
				return
			}
			defer u.Close()
			go func() {
				io.Copy(u, c)
				u.(*net.TCPConn).CloseWrite()
			}()
			io.Copy(c, u)
		}()
	}
}
