package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
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

// topology is every process of the shop by its service, as in system.yaml.
var topology = []struct {
	service   string
	instances []string
}{
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

// shop is all services as processes, with a switch on the way from orders to
// payments and inventory.
type shop struct {
	t         testing.TB // the part that runs now
	whole     testing.TB
	dir       string
	addr      map[string]string // "orders-1.http" -> host:port
	service   map[string]string // instance -> service
	instances []string          // in their order
	inventory *link
	payments  []*link // to each instance

	mu    sync.Mutex
	procs map[string]*process
}

type process struct {
	cmd  *exec.Cmd
	logs *bytes.Buffer
}

func startShop(t testing.TB) *shop {
	s := &shop{t: t, whole: t, dir: t.TempDir(), addr: map[string]string{}, service: map[string]string{}, procs: map[string]*process{}}
	for _, of := range topology {
		for _, name := range of.instances {
			s.instances = append(s.instances, name)
			s.service[name] = of.service
			for _, port := range []string{"http", "ops", "client", "cluster"} {
				s.addr[name+"."+port] = freeAddr(t)
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

// start starts one process with the given defects; waitReady waits for it.
func (s *shop) start(name, defects string) {
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
		"USERS_URL="+s.urls("users"), "CATALOG_URL="+s.urls("catalog-1", "catalog-2"), "REVIEWS_URL="+s.urls("reviews"),
		"ORDERS_URL="+s.urls("orders-1", "orders-2"), "HISTORY_URL="+s.urls("history"), "LEGACY_URL="+s.urls("legacy"),
		"INVENTORY_URL="+s.inventory.URL, "PAYMENTS_URL="+s.payments[0].URL+","+s.payments[1].URL,
		"PSP_PRIMARY_URL="+s.urls("psp-primary"), "PSP_BACKUP_URL="+s.urls("psp-backup"),
		"NATS_CLIENT="+s.addr[name+".client"], "NATS_CLUSTER="+s.addr[name+".cluster"],
		"NATS_ROUTES="+s.list("cluster", "nats-1", "nats-2", "nats-3"),
		"NATS_URL="+s.list("client", "nats-1", "nats-2", "nats-3"),
	)
	require.NoError(s.t, p.cmd.Start())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs[name] = p
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

func (s *shop) stop() {
	for name, p := range s.procs {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		if s.t.Failed() {
			s.t.Logf("%s:\n%s", name, p.logs)
		}
	}
}

type reply struct {
	code   int
	Status string `json:"status"`
	Reason string `json:"reason"`
	Detail string `json:"-"` // of a problem document
}

// sku of the yacht is dearer than any card bears.
const tea, yacht = "tea", "yacht"

func (s *shop) checkout(id, sku string) reply {
	r, err := s.tryCheckout(id, sku)
	require.NoError(s.t, err)
	return r
}

// tryCheckout is for when the gateway itself may be away.
func (s *shop) tryCheckout(id, sku string) (reply, error) {
	body := fmt.Sprintf(`{"items":[{"sku":%q,"qty":1}],"customer":"ada"}`, sku)
	return s.send(http.MethodPost, "/checkout", id, body)
}

func (s *shop) send(method, path, id, body string) (reply, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.addr["gateway.http"]+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("X-Request-Id", id)
	req.Header.Set("Idempotency-Key", id)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	r := reply{code: resp.StatusCode}
	b, err := io.ReadAll(resp.Body)
	switch kind := resp.Header.Get("Content-Type"); {
	case err != nil:
		return r, err
	case kind == "application/problem+json":
		var p service.Problem
		err = json.Unmarshal(b, &p)
		r.Detail = p.Title + ": " + p.Detail
	case kind == "application/json":
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// books reads an audit endpoint, by operation.
func (s *shop) books(service, path string) map[string][]audit.Row {
	resp, err := http.Get("http://" + s.addr[service+".ops"] + path)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	require.Equal(s.t, http.StatusOK, resp.StatusCode)
	var rows []audit.Row
	require.NoError(s.t, json.NewDecoder(resp.Body).Decode(&rows))
	byKey := map[string][]audit.Row{}
	for _, r := range rows {
		byKey[r.Key] = append(byKey[r.Key], r)
	}
	return byKey
}

// account is what all books say about one operation.
type account struct {
	Order                                         string
	Charged, Paid, Reserved, Shipped, Mails, Rows int // Rows are those of payments' book
}

// accounts reads every book once.
func (s *shop) accounts() func(id string) account {
	orders, charges := s.books("orders-1", "/audit/orders"), s.books("payments-1", "/audit/charges")
	primary, backup := s.books("psp-primary", "/audit/money"), s.books("psp-backup", "/audit/money")
	stock, shipments, mails := s.books("inventory", "/audit/reservations"), s.books("shipping", "/audit/shipments"), s.books("notifications", "/audit/mails")
	sum := func(rows []audit.Row) (n int) {
		for _, r := range rows {
			n += r.Effect
		}
		return n
	}
	return func(id string) account {
		a := account{
			Charged: sum(charges[id]), Rows: len(charges[id]), Paid: sum(primary[id]) + sum(backup[id]),
			Reserved: sum(stock[id]), Shipped: sum(shipments[id]), Mails: sum(mails[id]),
		}
		if rows := orders[id]; len(rows) == 1 {
			a.Order = rows[0].State
		}
		return a
	}
}

func (s *shop) account(id string) account { return s.accounts()(id) }

// becomes waits until the books agree on an operation.
func (s *shop) becomes(id string, want account) {
	s.t.Helper()
	var got account
	ok := func() bool { got = s.account(id); return got == want }
	for deadline := time.Now().Add(15 * time.Second); !ok() && time.Now().Before(deadline); {
		<-time.After(50 * time.Millisecond) // poll
	}
	require.Equal(s.t, want, got, "books of %s", id)
}

// link is a reverse proxy that can be told to fail requests.
type link struct {
	*httptest.Server
	mu   sync.Mutex
	fail func(path string) bool
	seen chan string // paths of failed requests, as far as there is room
}

func newLink(t testing.TB, to string) *link {
	target := &url.URL{Scheme: "http", Host: to}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { panic(http.ErrAbortHandler) } // as a link that breaks
	l := &link{seen: make(chan string, 100)}
	l.failOn("")
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		fail := l.fail(r.URL.Path)
		l.mu.Unlock()
		if !fail {
			proxy.ServeHTTP(w, r)
			return
		}
		select {
		case l.seen <- r.URL.Path:
		default:
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(l.Close)
	return l
}

// failOn answers requests whose path ends like this with 503; none for "".
func (l *link) failOn(suffix string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = func(path string) bool { return suffix != "" && strings.HasSuffix(path, suffix) }
}

// waitFailed waits for the first request that one of the links has failed.
func waitFailed(t testing.TB, first, second *link) {
	select {
	case <-first.seen:
	case <-second.seen:
	case <-time.After(10 * time.Second):
		require.Fail(t, "no request to fail came")
	}
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
