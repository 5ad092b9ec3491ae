//go:build e2e

package main

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestVariantMigration: profiles move from legacy to users.
func TestVariantMigration(t *testing.T) {
	s := startShop(t, variant{})
	s.parts(t,
		part{"half of the customers", s.testHalf},
		part{"users killed", s.testUsersKilled},
		part{"gateway killed", s.testMigrationGatewayKilled},
		part{"all of them", s.testAllMoved},
	)
}

// customers is how many take part: enough that each half is some.
const customers = 40

// profiles writes a profile, and reads one after that.
func (s *shop) profiles(n int, id string) (reply, error) {
	path := fmt.Sprintf("/profile?customer=customer-%d", n/2%customers)
	if n%2 == 1 {
		return s.send(http.MethodGet, path, id, "")
	}
	return s.send(http.MethodPut, path, id, fmt.Sprintf(`{"name":"Customer","address":"%d New Street"}`, n))
}

// move sets the percentage once the gateway can.
func (s *shop) move(percent int) {
	s.t.Helper()
	body := fmt.Sprintf(`{"percent":%d}`, percent)
	eventually(s.t, func() bool { return s.ops("gateway", http.MethodPut, "/migrations/profile", body, nil) == 200 }, 10*time.Second, "migrate")
}

// moved is the percentage now.
func (s *shop) moved() int {
	var all struct {
		Migrations map[string]struct{ Percent int }
	}
	require.Equal(s.t, 200, s.ops("gateway", http.MethodGet, "/deploys", "", &all))
	return all.Migrations["profile"].Percent
}

// stored is every profile that a service has, with its version.
func (s *shop) stored(service string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for customer, rows := range s.books(service, "/audit/profiles") {
		require.Len(s.t, rows, 1, customer)
		all[customer] = rows[0].Attrs
	}
	return all
}

// agree waits until both stores have the same profiles.
func (s *shop) agree() {
	s.t.Helper()
	var legacy, users map[string]map[string]string
	same := func() bool {
		legacy, users = s.stored("legacy"), s.stored("users")
		return assert.ObjectsAreEqual(legacy, users)
	}
	for end := time.Now().Add(15 * time.Second); !same() && time.Now().Before(end); {
		<-time.After(100 * time.Millisecond) // poll
	}
	assert.Equal(s.t, legacy, users)
	assert.GreaterOrEqual(s.t, len(legacy), customers)
}

// reads is how often a service was asked for a profile.
func (s *shop) reads(service string) float64 {
	return metric(s.t, s.addr[service+".ops"], "http_server_request_duration_seconds", map[string]string{"route": "/profiles/{customer}", "method": "GET"})
}

func (s *shop) testHalf(t *testing.T) {
	traffic := drive("half", 50, s.profiles)
	traffic.more(t, 2*customers)
	assert.Zero(t, s.reads("users"), "nobody is moved yet")
	s.move(50)
	traffic.more(t, 2*customers)
	assert.NotZero(t, s.reads("users"))
	allWith(t, 200, traffic.stop())
	assert.Equal(t, 50, s.moved(), "a good one goes on")
	s.agree()
}

func (s *shop) testUsersKilled(t *testing.T) {
	traffic, orders := drive("down", 50, s.profiles), drive("beside-migration", 10, s.checkouts)
	traffic.more(t, 20)
	began := time.Now()
	s.end("users", syscall.SIGKILL)
	eventually(t, func() bool { return s.moved() == 0 }, 15*time.Second, "it goes back by itself")
	t.Logf("back after %s", time.Since(began).Round(10*time.Millisecond))
	traffic.more(t, 2*customers)
	allWith(t, 200, traffic.stop())
	allWith(t, 201, orders.stop())
	assert.Equal(t, 1.0, metric(t, s.addr["gateway.ops"], "gateway_rollbacks_total", map[string]string{"callee": "users", "kind": "migration"}))
	rows := s.books("gateway", "/audit/deploys")["migration.profile"]
	require.NotEmpty(t, rows)
	last := rows[len(rows)-1].Attrs
	assert.Equal(t, "0", last["percent"])
	assert.Equal(t, "gateway", last["by"])
	assert.Contains(t, last["reason"], "calls to users failed")

	s.start("users", "")
	s.waitReady("users")
	s.agree()
}

// testMigrationGatewayKilled: between the write to legacy and its copy.
func (s *shop) testMigrationGatewayKilled(t *testing.T) {
	s.move(50)
	traffic := drive("killed", 100, s.profiles)
	traffic.more(t, 2*customers)
	s.end("gateway", syscall.SIGKILL)
	traffic.stop() // those under way have no answer
	s.start("gateway", "")
	s.waitReady("gateway")
	eventually(t, func() bool { return s.moved() == 50 }, 10*time.Second, "the decision outlives the gateway")
	s.agree()
}

func (s *shop) testAllMoved(t *testing.T) {
	s.move(100)
	traffic := drive("all", 50, s.profiles)
	from := s.reads("users")
	traffic.more(t, 2*customers)
	assert.Greater(t, s.reads("users"), from)
	allWith(t, 200, traffic.stop())
	s.agree()
}
