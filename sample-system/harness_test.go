//go:build e2e || soak

package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMain lets the test binary be the shop: the tests start it again, once
// per process, so that a kill is a real kill.
func TestMain(m *testing.M) {
	if os.Getenv("SHOP_TEST_PROCESS") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// member is a service with its instances.
type member struct {
	service   string
	instances []string
}

// topology is every process of the shop by its service, as in system.yaml.
var topology = []member{
	{"nats", []string{"nats-1", "nats-2", "nats-3"}},
	{"psp", []string{"psp-primary", "psp-backup"}},
	{"users", []string{"users"}},
	{"legacy", []string{"legacy"}},
	{"reviews", []string{"reviews"}},
	{"inventory", []string{"inventory"}},
	{"catalog", []string{"catalog-1", "catalog-2"}},
	{"payments", []string{"payments-1", "payments-2"}},
	{"orders", []string{"orders-1", "orders-2"}},
	{"history", []string{"history"}},
	{"shipping", []string{"shipping"}},
	{"notifications", []string{"notifications"}},
	{"gateway", []string{"gateway"}},
}

// variant is what a switch of system.yaml makes different.
type variant struct {
	also []member                            // started before the others
	env  func(s *shop, name string) []string // further variables of an instance
	tls  bool                                // the links cannot look into requests
}

// shop is all services as processes, with a switch on the way from orders to
// payments and inventory.
type shop struct {
	variant
	t         testing.TB // the part that runs now
	whole     testing.TB
	dir       string
	addr      map[string]string // "orders-1.http" -> host:port
	held      map[string]net.Listener
	service   map[string]string // instance -> service
	instances []string          // in their order
	inventory *link
	payments  []*link       // to each instance
	token     func() string // of the customer, if it takes one

	mu    sync.Mutex
	procs map[string]*process
}

type process struct {
	cmd  *exec.Cmd
	logs *bytes.Buffer
}

func startShop(t testing.TB, v variant) *shop {
	s := &shop{variant: v, t: t, whole: t, dir: openDir(t), addr: map[string]string{}, held: map[string]net.Listener{}, service: map[string]string{}, procs: map[string]*process{}}
	for _, of := range append(slices.Clone(v.also), topology...) {
		for _, name := range of.instances {
			s.instances = append(s.instances, name)
			s.service[name] = of.service
			for _, port := range []string{"http", "ops", "client", "cluster", "db"} {
				s.hold(t, name+"."+port)
			}
		}
	}
	s.inventory = newLink(t, s.addr["inventory.http"])
	s.payments = []*link{newLink(t, s.addr["payments-1.http"]), newLink(t, s.addr["payments-2.http"])}
	t.Cleanup(s.stop)
	for _, name := range s.instances {
		s.start(name, "")
	}
	for _, name := range s.instances {
		s.waitReady(name)
	}
	return s
}

// openDir is a folder that other users may pass through: PostgreSQL does not run
// as root.
func openDir(t testing.TB) string {
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o711))
	return dir
}

// start starts one process with the given defects, and further variables;
// waitReady waits for it.
func (s *shop) start(name, defects string, env ...string) {
	service := s.service[name]
	data := service
	if service == "psp" {
		data = name // two outside companies
	}
	p := &process{cmd: exec.Command(os.Args[0], service), logs: &bytes.Buffer{}}
	p.cmd.Stderr = p.logs
	p.cmd.Env = append(os.Environ(),
		"SHOP_TEST_PROCESS=1", "SHOP_NAME="+name, "SHOP_LISTEN="+s.addr[name+".http"], "SHOP_OPS="+s.addr[name+".ops"],
		"SHOP_DATA="+filepath.Join(s.dir, data), "SHOP_DEFECTS="+defects,
		"NATS_CLIENT="+s.addr[name+".client"], "NATS_CLUSTER="+s.addr[name+".cluster"],
		"NATS_ROUTES="+s.list("cluster", "nats-1", "nats-2", "nats-3"),
	)
	p.cmd.Env = append(p.cmd.Env, s.edges()...)
	if s.env != nil {
		p.cmd.Env = append(p.cmd.Env, s.env(s, name)...)
	}
	p.cmd.Env = append(p.cmd.Env, env...)
	s.release(name)
	require.NoError(s.t, p.cmd.Start())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs[name] = p
}

// edges are the ways to the services.
func (s *shop) edges() []string {
	inventory, payments := s.inventory.URL, s.payments[0].URL+","+s.payments[1].URL
	if s.tls {
		inventory, payments = s.urls("inventory"), s.urls("payments-1", "payments-2")
	}
	return []string{
		"USERS_URL=" + s.urls("users"), "CATALOG_URL=" + s.urls("catalog-1", "catalog-2"), "REVIEWS_URL=" + s.urls("reviews"),
		"ORDERS_URL=" + s.urls("orders-1", "orders-2"), "HISTORY_URL=" + s.urls("history"), "LEGACY_URL=" + s.urls("legacy"),
		"INVENTORY_URL=" + inventory, "PAYMENTS_URL=" + payments,
		"PSP_PRIMARY_URL=" + s.urls("psp-primary"), "PSP_BACKUP_URL=" + s.urls("psp-backup"),
		"NATS_URL=" + s.list("client", "nats-1", "nats-2", "nats-3"),
	}
}

// list is the addresses of a port of some instances.
func (s *shop) list(port string, instances ...string) string {
	var addrs []string
	for _, name := range instances {
		addrs = append(addrs, s.addr[name+"."+port])
	}
	return strings.Join(addrs, ",")
}

func (s *shop) urls(instances ...string) string {
	return "http://" + strings.ReplaceAll(s.list("http", instances...), ",", ",http://")
}

func (s *shop) waitReady(name string) {
	require.Eventually(s.t, func() bool { return s.ready(name) }, 30*time.Second, 50*time.Millisecond, "%s is not ready", name)
}

func (s *shop) ready(name string) bool {
	resp, err := http.Get("http://" + s.addr[name+".ops"] + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode/100 == 2
}

// end sends a signal and waits for the process to be gone.
func (s *shop) end(name string, sig syscall.Signal) *process {
	s.mu.Lock()
	p := s.procs[name]
	delete(s.procs, name)
	s.mu.Unlock()
	require.NoError(s.t, p.cmd.Process.Signal(sig))
	_ = p.cmd.Wait() // its status is the test's to look at
	return p
}

// stop ends everything. Those that a variant adds get the time to take their
// children with them.
func (s *shop) stop() {
	for _, of := range s.also {
		for _, name := range of.instances {
			if s.procs[name] != nil {
				s.tell(name, s.end(name, syscall.SIGTERM))
			}
		}
	}
	for name, p := range s.procs {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		s.tell(name, p)
	}
}

// tell shows the log of a process that has ended, if it matters.
func (s *shop) tell(name string, p *process) {
	if s.t.Failed() {
		s.t.Logf("%s:\n%s", name, p.logs)
	}
}

// hold finds an address below the range of outgoing connections, any of which
// could take it while its process restarts, and keeps it from others until then.
func (s *shop) hold(t testing.TB, port string) {
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			s.held[port], s.addr[port] = l, l.Addr().String()
			return
		}
	}
	require.Fail(t, "no free port")
}

// release gives the addresses of an instance to its process.
func (s *shop) release(name string) {
	for port, l := range s.held {
		if strings.HasPrefix(port, name+".") {
			_ = l.Close() // it has accepted nothing
			delete(s.held, port)
		}
	}
}
