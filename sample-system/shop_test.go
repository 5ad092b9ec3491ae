//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
)

var (
	sold   = account{Order: "confirmed", Charged: 1, Paid: 1, Reserved: 1, Shipped: 1, Mails: 1, Rows: 1}
	undone = account{Order: "cancelled", Rows: 2} // charged and refunded
)

// TestShop boots the whole shop once; the parts share it and use operations of
// their own.
func TestShop(t *testing.T) {
	s := startShop(t, variant{})
	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"many checkouts", s.testMany},
		{"same key again", s.testSameKey},
		{"declined card", s.testDeclined},
		{"cancelled by the customer", s.testCancel},
		{"order history", s.testHistory},
		{"primary provider down", s.testFallback},
		{"poison message", s.testPoison},
		{"dead letters by command", s.testDeadLetters},
		{"both instances of orders killed while compensating", s.testKill},
		{"compensation lost under D19", s.testKillD19},
		{"rolling restart", s.testRolling},
		{"SIGTERM drains", s.testDrain},
	} {
		t.Run(part.name, func(t *testing.T) {
			s.t = t
			defer func(whole testing.TB) { s.t = whole }(s.whole)
			part.run(t)
		})
	}
}

func (s *shop) testMany(t *testing.T) {
	const n = 200
	var wg sync.WaitGroup
	ids := make(chan int)
	for range 16 {
		wg.Go(func() {
			for i := range ids {
				assert.Equal(t, reply{code: 201, Status: "confirmed"}, s.checkout(fmt.Sprintf("many-%d", i), tea))
			}
		})
	}
	for i := range n {
		ids <- i
	}
	close(ids)
	wg.Wait()

	require.Eventually(t, func() bool {
		return len(s.books("notifications", "/audit/mails")) >= n && len(s.books("shipping", "/audit/shipments")) >= n
	}, 30*time.Second, 50*time.Millisecond)
	of := s.accounts()
	for i := range n {
		a := of(fmt.Sprintf("many-%d", i))
		a.Paid = 1 // a void may still be on its way after a charge that took too long on a busy machine
		require.Equal(t, sold, a, "many-%d", i)
	}
}

func (s *shop) testSameKey(t *testing.T) {
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { assert.Equal(t, reply{code: 201, Status: "confirmed"}, s.checkout("same", tea)) })
	}
	wg.Wait()
	s.becomes("same", sold)
	assert.Equal(t, 422, s.checkout("same", "coffee").code, "another order under the same key")
}

func (s *shop) testDeclined(t *testing.T) {
	r := s.checkout("declined", yacht)
	assert.Equal(t, 402, r.code)
	assert.Equal(t, "cancelled", r.Status)
	s.becomes("declined", account{Order: "cancelled"})
	assert.Equal(t, r, s.checkout("declined", yacht), "the same answer again")
}

func (s *shop) testCancel(t *testing.T) {
	assert.Equal(t, 201, s.checkout("regretted", tea).code)
	s.becomes("regretted", sold)
	r, err := s.send("POST", "/orders/regretted/cancel", "regretted", "")
	require.NoError(t, err)
	assert.Equal(t, 200, r.code)
	assert.Equal(t, "cancelled", r.Status)
	s.becomes("regretted", account{Order: "cancelled", Rows: 2, Mails: 1}) // that of the cancellation is no effect of the checkout
}

func (s *shop) testHistory(t *testing.T) {
	assert.Equal(t, 201, s.checkout("remembered", tea).code)
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + s.addr["gateway.http"] + "/customers/ada/orders")
		require.NoError(t, err)
		defer resp.Body.Close()
		var view struct {
			Orders []struct{ ID, Status string }
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&view))
		for _, o := range view.Orders {
			if o.ID == "remembered" && o.Status == "confirmed" {
				return true
			}
		}
		return false
	}, 10*time.Second, 50*time.Millisecond)
}

func (s *shop) testFallback(t *testing.T) {
	s.end("psp-primary", syscall.SIGKILL)
	assert.Equal(t, 201, s.checkout("fallback", tea).code)
	assert.Len(t, s.books("psp-backup", "/audit/money")["fallback"], 1)
	s.start("psp-primary", "")
	s.waitReady("psp-primary")
	s.becomes("fallback", sold)
}

func (s *shop) testPoison(t *testing.T) {
	conn, err := nats.Connect(s.addr["nats-2.client"])
	require.NoError(t, err)
	defer conn.Close()
	poison := nats.NewMsg("orders.confirmed")
	poison.Data = []byte(`{"version":`)
	poison.Header.Set("X-Request-Id", "poison")
	poison.Header.Set("Nats-Msg-Id", "poison-1")
	poison.Header.Set("X-Tenant", "north")
	_, err = conn.RequestMsg(poison, 5*time.Second)
	require.NoError(t, err)

	assert.Equal(t, 201, s.checkout("behind-poison", tea).code)
	s.becomes("behind-poison", sold)
	mine := func() []audit.Row {
		return slices.DeleteFunc(s.books("notifications", "/audit/dlq")["poison"], func(r audit.Row) bool { return r.Attrs["consumer"] != "notifications" })
	}
	require.Eventually(t, func() bool { return len(mine()) == 1 }, 10*time.Second, 50*time.Millisecond)
	row := mine()[0]
	assert.Equal(t, "dead", row.State)
	assert.Equal(t, "orders.confirmed", row.Attrs["subject"])
	assert.Equal(t, "north", row.Attrs["header.X-Tenant"])
	assert.NotEmpty(t, row.Attrs["cause"])
}

func (s *shop) testKill(t *testing.T) {
	s.killCompensating(t, "killed", "")
	s.becomes("killed", undone)
}

func (s *shop) testKillD19(t *testing.T) {
	s.restartOrders("D19")
	s.killCompensating(t, "lost", "D19")

	// One that fails after the restart is undone; were the lost one in the
	// backlog, it would have been undone before.
	s.inventory.failOn("/commit")
	assert.Equal(t, 503, s.checkout("after-lost", tea).code)
	s.inventory.failOn("")
	s.becomes("after-lost", undone)
	assert.Equal(t, account{Order: "pending", Charged: 1, Paid: 1, Reserved: 1, Rows: 1}, s.account("lost"))

	s.restartOrders("") // without the defect even that one ends
	s.becomes("lost", undone)
}

func (s *shop) restartOrders(defects string) {
	for _, name := range []string{"orders-1", "orders-2"} {
		s.end(name, syscall.SIGTERM)
		s.start(name, defects)
	}
	s.waitReady("orders-1")
	s.waitReady("orders-2")
}

// killCompensating has a checkout fail at the last step, and kills both
// instances of orders while payments refuses the refund.
func (s *shop) killCompensating(t *testing.T, id, defects string) {
	refunds := func(suffix string) {
		for _, l := range s.payments {
			l.failOn(suffix)
		}
	}
	s.inventory.failOn("/commit")
	refunds("/refunds")
	r := s.checkout(id, tea)
	assert.Equal(t, 503, r.code)
	assert.Equal(t, "cancelled", r.Status)
	waitFailed(t, s.payments[0], s.payments[1])
	s.end("orders-1", syscall.SIGKILL)
	s.end("orders-2", syscall.SIGKILL)
	// The first call may go out on a kept connection that is just dying: 502, for
	// the gateway cannot know. After that nobody accepts: 503.
	require.Eventually(t, func() bool { return s.checkout(id+"-none", tea).code == 503 }, 5*time.Second, 20*time.Millisecond, "orders is away")
	s.inventory.failOn("")
	refunds("")
	for _, name := range []string{"orders-1", "orders-2"} {
		s.start(name, defects)
	}
	s.waitReady("orders-1")
	s.waitReady("orders-2")
}

// testRolling restarts every instance of the replicated services in turn under
// load; no customer notices.
func (s *shop) testRolling(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	var placed atomic.Int64
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				assert.Equal(t, reply{code: 201, Status: "confirmed"}, s.checkout(fmt.Sprintf("rolling-%d-%d", w, i), tea))
				placed.Add(1)
			}
		})
	}
	for _, name := range []string{"catalog-1", "catalog-2", "payments-1", "payments-2", "orders-1", "orders-2"} {
		before := placed.Load()
		require.Eventually(t, func() bool { return placed.Load() > before+10 }, 10*time.Second, 10*time.Millisecond)
		s.end(name, syscall.SIGTERM)
		s.start(name, "")
		s.waitReady(name)
	}
	stop()
	wg.Wait()
}

func (s *shop) testDrain(t *testing.T) {
	for _, name := range []string{"gateway", "orders-1", "notifications", "shipping", "history", "payments-2", "nats-3"} {
		p := s.end(name, syscall.SIGTERM)
		assert.Equal(t, 0, p.cmd.ProcessState.ExitCode(), "%s:\n%s", name, p.logs)
		assert.Contains(t, p.logs.String(), `"msg":"stopped"`, name)
	}
}
