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
)

// TestMain lets the test binary be the shop: the tests start it again, once
// per service, so that a kill is a real kill.
func TestMain(m *testing.M) {
	if os.Getenv("SHOP_TEST_PROCESS") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// shop is all services as processes, with a switch on the way from orders to
// payments and inventory.
type shop struct {
	t         *testing.T
	dir       string
	addr      map[string]string // "orders.http" -> host:port
	inventory *link
	payments  *link

	mu    sync.Mutex
	procs map[string]*process
}

type process struct {
	cmd  *exec.Cmd
	logs *bytes.Buffer
}

var startOrder = []string{
	"nats-1", "nats-2", "nats-3", "psp-primary", "psp-backup", "inventory", "payments", "orders", "notifications", "gateway",
}

func startShop(t *testing.T) *shop {
	s := &shop{t: t, dir: t.TempDir(), addr: map[string]string{}, procs: map[string]*process{}}
	for _, name := range startOrder {
		s.addr[name+".http"] = freeAddr(t)
	}
	for i := 1; i <= 3; i++ {
		s.addr[fmt.Sprintf("nats-%d.client", i)] = freeAddr(t)
		s.addr[fmt.Sprintf("nats-%d.cluster", i)] = freeAddr(t)
	}
	s.inventory = newLink(t, s.addr["inventory.http"])
	s.payments = newLink(t, s.addr["payments.http"])
	t.Cleanup(s.stop)
	for _, name := range startOrder {
		s.start(name, "")
	}
	for _, name := range startOrder {
		s.waitReady(name)
	}
	return s
}

// start starts one service with the given defects; waitReady waits for it.
func (s *shop) start(name, defects string) {
	command, _, _ := strings.Cut(name, "-")
	p := &process{cmd: exec.Command(os.Args[0], command), logs: &bytes.Buffer{}}
	p.cmd.Stderr = p.logs
	p.cmd.Env = append(os.Environ(),
		"SHOP_TEST_PROCESS=1", "SHOP_NAME="+name, "SHOP_LISTEN="+s.addr[name+".http"], "SHOP_DATA="+filepath.Join(s.dir, name), "SHOP_DEFECTS="+defects,
		"ORDERS_URL=http://"+s.addr["orders.http"], "INVENTORY_URL="+s.inventory.URL, "PAYMENTS_URL="+s.payments.URL,
		"PSP_PRIMARY_URL=http://"+s.addr["psp-primary.http"], "PSP_BACKUP_URL="+s.addr["psp-backup.http"],
		"NATS_CLIENT="+s.addr[name+".client"], "NATS_CLUSTER="+s.addr[name+".cluster"],
		fmt.Sprintf("NATS_ROUTES=nats://%s,nats://%s,nats://%s", s.addr["nats-1.cluster"], s.addr["nats-2.cluster"], s.addr["nats-3.cluster"]),
		fmt.Sprintf("NATS_URL=%s,%s,%s", s.addr["nats-1.client"], s.addr["nats-2.client"], s.addr["nats-3.client"]),
	)
	require.NoError(s.t, p.cmd.Start())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.procs[name] = p
}

func (s *shop) waitReady(name string) {
	require.Eventually(s.t, func() bool {
		resp, err := http.Get("http://" + s.addr[name+".http"] + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusNoContent
	}, 30*time.Second, 50*time.Millisecond, "%s is not ready", name)
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
}

func (s *shop) checkout(id string, amount int) reply {
	body := fmt.Sprintf(`{"sku":"book","qty":1,"amount_cents":%d,"customer":"ada"}`, amount)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+s.addr["gateway.http"]+"/checkout", strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("X-Request-Id", id)
	req.Header.Set("Idempotency-Key", id)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	r := reply{code: resp.StatusCode}
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	if resp.Header.Get("Content-Type") == "application/json" {
		require.NoError(s.t, json.Unmarshal(b, &r), "%s", b)
	}
	return r
}

// books reads an audit endpoint, by operation.
func (s *shop) books(service, path string) map[string][]audit.Row {
	resp, err := http.Get("http://" + s.addr[service+".http"] + path)
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
	Order                                string
	Charged, Paid, Reserved, Mails, Rows int // Rows are those of payments' book
}

func (s *shop) account(id string) account {
	a := account{Rows: len(s.books("payments", "/audit/charges")[id])}
	if rows := s.books("orders", "/audit/orders")[id]; len(rows) == 1 {
		a.Order = rows[0].State
	}
	sum := func(service, path string) (n int) {
		for _, r := range s.books(service, path)[id] {
			n += r.Effect
		}
		return n
	}
	a.Charged = sum("payments", "/audit/charges")
	a.Paid = sum("psp-primary", "/audit/money") + sum("psp-backup", "/audit/money")
	a.Reserved = sum("inventory", "/audit/reservations")
	a.Mails = sum("notifications", "/audit/mails")
	return a
}

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

func newLink(t *testing.T, to string) *link {
	target := &url.URL{Scheme: "http", Host: to}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
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

func (l *link) waitFailed(t *testing.T) {
	select {
	case <-l.seen:
	case <-time.After(10 * time.Second):
		require.Fail(t, "no request to fail came")
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
