package orders

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
)

const (
	waitLong = 10 * time.Second
	tick     = 5 * time.Millisecond
)

// TestMain lets more tests run at a time than there are cores: they wait for
// leases and timeouts most of the time.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(storetest.Main(m))
}

// env is the environment of an instance that works with p.
func (p *partners) env(nats string, more map[string]string) map[string]string {
	env := map[string]string{"CATALOG_URL": p.url, "INVENTORY_URL": p.url, "PAYMENTS_URL": p.url, "NATS_URL": nats}
	for k, v := range more {
		env[k] = v
	}
	return env
}

// config is that of the n-th instance.
func config(t testing.TB, n int, env map[string]string, defects ...string) service.Config {
	cfg := servicetest.Config(t, env, defects...)
	cfg.Service, cfg.Name = "orders", fmt.Sprintf("orders-%d", n)
	cfg.Data = cmp.Or(env["SHOP_DATA"], cfg.Data)
	cfg.Log = t.Output()
	return cfg
}

// instance starts one instance and returns its URL.
func instance(t testing.TB, cfg service.Config) string {
	return "http://" + servicetest.StartHost(t, Setup, cfg).Addr()
}

// single starts orders with its own database and bus.
func single(t testing.TB, p *partners, defects ...string) string {
	return instance(t, config(t, 1, p.env(servicetest.Bus(t), nil), defects...))
}

// parts are those of an instance that does not run, on the database of h.
func parts(t testing.TB, h *service.Host, p *partners, name string) *orchestrator {
	h.Name = name
	db, err := store.Open(h, "orders", schema)
	require.NoError(t, err)
	l := newLog(h, db, newOutbox(h))
	client := func(callee string) *call.Client { return call.New(h, callee, call.Static(p.url)) }
	return newOrchestrator(h, l, newSteps(h, client("inventory"), client("payments")), newPricing(h, client("catalog")))
}

// sibling is the same on another host with the same database.
func sibling(t testing.TB, h *service.Host, p *partners, name string, defects ...string) *orchestrator {
	cfg := servicetest.Config(t, storetest.Env(h), defects...)
	cfg.Data = h.Data
	other := service.Bare(cfg)
	t.Cleanup(func() { require.NoError(t, other.Close()) })
	return parts(t, other, p, name)
}

func body(id, customer string, items ...string) string {
	var list []string
	for _, i := range items {
		list = append(list, fmt.Sprintf(`{"sku":%q,"qty":1}`, i))
	}
	return fmt.Sprintf(`{"id":%q,"customer":%q,"items":[%s]}`, id, customer, strings.Join(list, ","))
}

// placeAt places an order and returns the answer.
func placeAt(t testing.TB, url, id string, items ...string) (int, Status) {
	t.Helper()
	code, text := servicetest.Post(t, url+"/orders", id, body(id, "ada", items...))
	var s Status
	require.NoError(t, json.Unmarshal([]byte(text), &s), text)
	return code, s
}

// becomes waits until an order has a status.
func becomes(t testing.TB, url, id, status string) Status {
	t.Helper()
	var s Status
	require.Eventually(t, func() bool {
		code, text := servicetest.Get(t, url+"/orders/"+id)
		return code == http.StatusOK && json.Unmarshal([]byte(text), &s) == nil && s.Status == status
	}, 10*time.Second, 10*time.Millisecond, "order %s to become %s", id, status)
	return s
}

// runUntil runs a task until done holds.
func runUntil(t testing.TB, run func(ctx context.Context) error, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	assert.Eventually(t, done, 10*time.Second, 5*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
}

// stateOf reads an order's state; empty when it was never placed.
func stateOf(t testing.TB, l *log, id string) state {
	t.Helper()
	o, _, err := l.find(t.Context(), id)
	require.NoError(t, err)
	return o.State
}

// leaseEnds makes all leases run out.
func leaseEnds(t testing.TB, l *log) {
	t.Helper()
	_, err := l.db.Exec(t.Context(), `UPDATE orders SET lease = 1 WHERE lease > 1`)
	require.NoError(t, err)
}

func placed(id string) Place {
	return Place{ID: id, Customer: "ada", Items: []Item{{"tea", 1}}}
}
