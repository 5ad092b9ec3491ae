package inject

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/faults/proxy"
	"squall/runner/plan"
	"squall/runner/targets/process"
	"squall/scenarios/spec"
)

// labSystem is what faults are tried on: real processes behind a real proxy.
// The test is the client.
const labSystem = `apiVersion: squall/v1
kind: System
metadata: {name: lab}
spec:
  target: process
  defaults: {stop: 500ms}
  switches: {without-postgres: {}}
  services:
    web: {command: [PROGRAM, web, "${self.http}"], ports: [http], ready: {http: /}}
    echo: {command: [PROGRAM, echo, "${self.tcp}"], ports: [tcp], port: tcp}
    vault: {command: [PROGRAM, vault, "${self.tls}"], ports: [tls], port: tls}
    rpc: {command: [PROGRAM, rpc, "${self.grpc}"], ports: [grpc], port: grpc}
    work: {command: [PROGRAM, work, "${self.http}"], ports: [http], ready: {http: /}, env: {DATA: "${data}"}, clock: {env: CLOCK}}
    bus: {command: [PROGRAM, bus, "${self.nats}", "${data}", "${self.http}"], ports: [nats, http], ready: {http: /}}
    db: {unless: without-postgres, stop: 5s, command: [PROGRAM, db, "${self.pg}", "${self.http}"], ports: [pg, http], ready: {http: /}, database: {user: shop, name: postgres, tls: disable}}
  edges:
    client -> work: {protocol: http, env: WORK}
    client -> web: {protocol: http, env: WEB}
    client -> rpc: {protocol: grpc, env: RPC, port: grpc}
    client -> echo: {protocol: tcp, env: ECHO, port: tcp}
    client -> bus: {protocol: nats, env: BUS, port: nats}
    client -> db: {unless: without-postgres, protocol: postgres, env: DB, port: pg}
    client -> vault: {protocol: tcp, env: VAULT, port: tls}
  zones:
    north: [web, echo]
`

// labScenario puts one fault, as JSON, into a scenario.
const labScenario = `{"apiVersion": "squall/v1", "kind": "Scenario", "metadata": {"name": "lab"}, "spec": {
"hypothesis": "It bites.", "system": "system.yaml", "load": {"script": "none.js", "arrival": "1/s"}, "phases": {},
"faults": [FAULT], "steady": [{"id": "up", "promql": "up", "atLeast": 1}], "expect": [{"id": "up2", "promql": "up", "atLeast": 1}]}}`

// labLease is longer than any test: what is gone was undone, or test of leases.
const labLease = time.Minute

// lab is a running labSystem.
type lab struct {
	mine   sync.Mutex // held by the one test that uses it
	env    *process.Environment
	proxy  string            // URL of its API
	before map[string]string // its picture
}

// labFile reads the system as every process of a test does.
func labFile(dir string) (*spec.System, error) {
	declared, problems := spec.ParseSystem(filepath.Join(dir, "system.yaml"), []byte(strings.ReplaceAll(labSystem, "PROGRAM", os.Args[0])))
	if len(problems) > 0 {
		return nil, problems
	}
	var switches []spec.Choice
	if noPostgres() != "" {
		switches = []spec.Choice{{Name: "without-postgres"}}
	}
	sys, problems := declared.With(switches...)
	if len(problems) > 0 {
		return nil, problems
	}
	return sys, nil
}

// newLab boots the system, renews its life, and ends it with the test.
func newLab(t testing.TB) *lab {
	t.Helper()
	dir := t.TempDir()
	sys, err := labFile(dir)
	require.NoError(t, err)
	l := &lab{env: process.New(labConfig(sys, dir, "lab", labLease))}
	stop := l.live()
	t.Cleanup(func() {
		require.NoError(t, l.env.Down(context.Background()))
		stop()
	})
	require.NoError(t, l.env.Up(t.Context()))
	all, err := process.List(filepath.Join(dir, "state"))
	require.NoError(t, err)
	require.Len(t, all, 1)
	l.proxy = all[0].ProxyURL
	l.before, err = l.env.Snapshot(t.Context())
	require.NoError(t, err)
	return l
}

// live reads the events of the lab and is its heartbeat, so that it ends with
// this process, however that ends.
func (l *lab) live() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for range l.env.Events() {
		}
	})
	all.Go(func() {
		tick := time.NewTicker(labLease / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = l.env.Renew(ctx) // an environment that is gone, the tests see
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); all.Wait() }
}

func labConfig(sys *spec.System, dir, owner string, lease time.Duration) process.Config {
	return process.Config{
		System: sys, RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"),
		Self: []string{os.Args[0]}, Owner: owner, Lease: lease, Needs: workNeeds,
	}
}

// resolve makes of an entry what the runner would inject.
func (e entry) resolve(sys *spec.System, id string) (Spec, error) {
	on, params := e.on, e.params
	if params == nil {
		params = map[string]any{}
	}
	fault, err := json.Marshal(map[string]any{"id": id, "kind": e.kind, "on": on, "params": params})
	if err != nil {
		return Spec{}, err
	}
	sc, problems := spec.Parse("lab.yaml", []byte(strings.ReplaceAll(labScenario, "FAULT", string(fault))))
	if len(problems) > 0 {
		return Spec{}, problems
	}
	p, problems := plan.Compile(sc, sys, plan.Options{Seed: 1, Registry: faults.Builtin(), Here: true})
	if len(problems) > 0 {
		return Spec{}, problems
	}
	f := p.Faults[0]
	s := Spec{ID: f.ID, Kind: f.Kind, On: f.On, Seed: f.Seed}
	for _, t := range f.Targets {
		s.Targets = append(s.Targets, Target{Name: t.Name, Kind: t.Kind, Step: t.Step, Decode: t.Decode})
	}
	return s, nil
}

// changed says how the world differs from before; "" if it does not.
func (l *lab) changed(ctx context.Context) (string, error) {
	after, err := l.env.Snapshot(ctx)
	if err != nil {
		return "", err
	}
	var diff []string
	for key := range l.before {
		if l.before[key] != after[key] {
			diff = append(diff, fmt.Sprintf("%s: was %q, is %q", key, l.before[key], after[key]))
		}
	}
	for key := range after {
		if _, was := l.before[key]; !was {
			diff = append(diff, fmt.Sprintf("%s: was not there, is %q", key, after[key]))
		}
	}
	return strings.Join(diff, "; "), nil
}

// quiet resets all connections and waits until no link has one, neither for the
// proxy nor for the kernel: those of earlier callers would count in a receipt,
// and what a caller closed while packets were lost the kernel goes on sending.
func (l *lab) quiet(ctx context.Context) bool {
	for key := range l.before {
		name, is := strings.CutPrefix(key, "stages of ")
		if !is {
			continue
		}
		link := proxy.NewClient(l.proxy).Link(name, name)
		if link.PutStage(ctx, "quiet", faults.Stage{Reset: true}) != nil || link.DeleteStage(ctx, "quiet") != nil {
			return false
		}
	}
	live := regexp.MustCompile(`(?m)^squall_proxy_connections\{.*\} [1-9]`)
	sockets := l.socketsOfLinks()
	return until(ctx, 20*time.Second, func() bool {
		resp, err := http.Get(l.proxy + "/metrics")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(text), "squall_proxy_connections{") || live.Match(text) {
			return false
		}
		table, err := os.ReadFile("/proc/net/tcp")
		return err == nil && !sockets.Match(table)
	})
}

// socketsOfLinks matches a line of /proc/net/tcp that is a connection to the
// client's links and may still send: neither 06, which has ended, nor 0A, which listens.
func (l *lab) socketsOfLinks() *regexp.Regexp {
	var ports []string
	for _, addr := range l.env.ClientEnv() {
		for _, port := range regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindAllStringSubmatch(addr, -1) {
			n, _ := strconv.Atoi(port[1])
			ports = append(ports, fmt.Sprintf("%04X", n))
		}
	}
	port := "(?:" + strings.Join(ports, "|") + ")"
	return regexp.MustCompile(`(?m)^ *\d+: (?:\w+:` + port + ` \w+:\w+|\w+:\w+ \w+:` + port + `) 0[1-5789BC]`)
}

// until asks again until it is so, or ctx or the time ends.
func until(ctx context.Context, within time.Duration, so func() bool) bool {
	end := time.NewTimer(within)
	defer end.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-tick.C:
		case <-end.C:
			return so()
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// exchange is what a caller saw of one use.
type exchange struct {
	conn   int // which of the caller's connections
	lost   int // connections before it that never were one to the caller
	began  time.Time
	took   time.Duration
	err    error
	status int
	body   string
}

func (x exchange) ended() time.Time { return x.began.Add(x.took) }

// caller uses a link over one connection as long as that lives, and makes a new
// one when it has died, as a pool of one does.
type caller interface {
	use() exchange
	close()
}

// callWithin is a caller's patience.
const callWithin = 150 * time.Millisecond

// socket is the connection of a caller.
type socket struct {
	addr     string
	patience time.Duration // 0: callWithin
	made     int
	conn     net.Conn
	in       *bufio.Reader
}

// do dials if needed and runs talk under the deadline; after an error the connection is not used again.
func (s *socket) do(talk func(x *exchange) error) exchange {
	x := exchange{began: time.Now()}
	if s.conn == nil {
		// Package net dials again by itself where a connection is reset before it looks.
		before := s.made
		d := net.Dialer{Timeout: s.within(), Control: func(_, _ string, _ syscall.RawConn) error { s.made++; return nil }}
		if s.conn, x.err = d.Dial("tcp", s.addr); x.err == nil {
			s.in = bufio.NewReader(s.conn)
		}
		x.lost = s.made - before - 1
	}
	x.conn = s.made
	if x.err == nil {
		_ = s.conn.SetDeadline(x.began.Add(s.within()))
		x.err = talk(&x)
	}
	x.took = time.Since(x.began)
	if x.err != nil {
		s.close()
	}
	return x
}

func (s *socket) within() time.Duration { return cmp.Or(s.patience, callWithin) }

func (s *socket) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
	s.conn = nil
}

// echoCaller says a line and wants it back.
type echoCaller struct{ socket }

func (c *echoCaller) use() exchange {
	return c.do(func(x *exchange) (err error) {
		if _, err = io.WriteString(c.conn, "hello\n"); err == nil {
			x.body, err = c.in.ReadString('\n')
		}
		return err
	})
}

// webCaller asks for a page; close it must when the server says so.
type webCaller struct {
	socket
	method, path string
}

func (c *webCaller) use() exchange {
	return c.do(func(x *exchange) error {
		req, err := http.NewRequest(c.method, "http://web"+c.path, nil)
		if err != nil {
			return err
		}
		if err := req.Write(c.conn); err != nil {
			return err
		}
		resp, err := http.ReadResponse(c.in, req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		x.status, x.body = resp.StatusCode, string(body)
		if err == nil && resp.Close {
			c.close()
		}
		return err
	})
}

// web calls the web service by its edge: GET /, or what the entry says.
func web(l *lab) caller {
	return &webCaller{socket{addr: strings.TrimPrefix(l.env.ClientEnv()["WEB"], "http://")}, "GET", "/"}
}

// echo calls the echo service by its edge.
func echo(l *lab) caller { return &echoCaller{socket{addr: l.env.ClientEnv()["ECHO"]}} }

// paid is the number of payments of a connection, in its context.
type paid struct{}

// roleWeb is an HTTP service: GET / answers "fine", GET /paid how often /pay was
// asked for on this connection since it was last told.
func roleWeb(args []string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") })
	mux.HandleFunc("POST /pay", func(_ http.ResponseWriter, r *http.Request) { *r.Context().Value(paid{}).(*int)++ })
	mux.HandleFunc("GET /paid", func(w http.ResponseWriter, r *http.Request) {
		n := r.Context().Value(paid{}).(*int)
		_, _ = fmt.Fprint(w, *n)
		*n = 0
	})
	s := &http.Server{Addr: args[0], Handler: mux}
	s.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return context.WithValue(ctx, paid{}, new(int)) }
	return serveUntilTerm(s)
}

// serveUntilTerm serves until the process is asked to end.
func serveUntilTerm(s *http.Server) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-ctx.Done()
		_ = s.Close()
	}()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// roleEcho answers each line with itself.
func roleEcho(args []string) error {
	in, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	for {
		conn, err := in.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}
