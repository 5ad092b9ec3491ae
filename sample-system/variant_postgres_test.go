//go:build e2e

package main

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/storetest"
)

// onPostgres are the services with an edge to it in system.yaml.
var onPostgres = []string{"users", "catalog", "reviews", "inventory", "orders", "history", "payments", "shipping", "notifications"}

// TestVariantPostgres: one database server for all services, with a standby.
func TestVariantPostgres(t *testing.T) {
	if !storetest.HavePostgres(t) {
		return
	}
	s := startShop(t, variant{
		also: []member{{"postgres", []string{"postgres-1", "postgres-2"}}},
		env: func(s *shop, name string) []string {
			nodes := s.list("db", "postgres-1", "postgres-2")
			switch service := s.service[name]; {
			case service == "postgres":
				return []string{"PG_LISTEN=" + s.addr[name+".db"], "PG_NODES=" + nodes, "PG_FSYNC=off"} // no power fails here
			case slices.Contains(onPostgres, service):
				return []string{"SHOP_DB=postgres://" + strings.ReplaceAll(nodes, ",", ",postgres://"), "SHOP_MAIL_TTL=1h"}
			}
			return nil
		},
	})
	s.parts(t,
		part{"sells", s.testSells},
		part{"primary killed", s.testPrimaryKilled},
		part{"primary restarted in good order", s.testPrimaryRestarted},
	)
}

func (s *shop) testSells(t *testing.T) {
	assert.Equal(t, reply{code: 201, Status: "confirmed"}, s.checkout("in-postgres", tea))
	s.becomes("in-postgres", sold)
	assert.Empty(t, s.missing())
}

// primary is the node that takes writes, and the other one.
func (s *shop) primary() (primary, standby string) {
	eventually(s.t, func() bool {
		for _, name := range []string{"postgres-1", "postgres-2"} {
			if s.ready(name) && metric(s.t, s.addr[name+".ops"], "pg_role", map[string]string{"role": "primary"}) == 1 {
				primary = name
			}
		}
		return primary != ""
	}, 10*time.Second, "no primary")
	if primary == "postgres-1" {
		return primary, "postgres-2"
	}
	return primary, "postgres-1"
}

// patient orders tea like a customer's client: what was not begun, or has lost
// its answer, it asks again under the same key.
func (s *shop) patient(_ int, id string) (r reply, err error) {
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); {
		r, err = s.tryCheckout(id, tea)
		if err == nil && (r.Status != "" || r.code/100 == 2) {
			return r, nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return r, err
}

// gap is the longest time without a confirmed order.
func gap(answers []answer) (longest time.Duration) {
	var good []time.Time
	for _, a := range answers {
		if a.code == http.StatusCreated {
			good = append(good, a.at)
		}
	}
	slices.SortFunc(good, time.Time.Compare)
	for i := 1; i < len(good); i++ {
		longest = max(longest, good[i].Sub(good[i-1]))
	}
	return longest
}

// closed closes the books on the orders of a load.
func (s *shop) closed(t *testing.T, answers []answer) {
	t.Helper()
	outcomes := make([]outcome, len(answers))
	for i, a := range answers {
		outcomes[i] = outcome{id: a.id, acked: a.err == nil && a.code == http.StatusCreated}
	}
	t.Logf("longest gap %s", gap(answers).Round(10*time.Millisecond))
	s.close(t, outcomes, 20*time.Second)
}

func (s *shop) testPrimaryKilled(t *testing.T) {
	first, second := s.primary()
	s.waitReady(second) // has everything, and so may take over
	orders := drive("failover", 20, s.patient)
	orders.more(t, 20)
	s.end(first, syscall.SIGKILL)
	now, _ := s.primary()
	assert.Equal(t, second, now)
	s.start(first, "")
	orders.more(t, 100)
	s.waitReady(first) // as a standby that has everything
	_, standby := s.primary()
	assert.Equal(t, first, standby)
	answers := orders.stop()
	assert.Less(t, gap(answers), 6*time.Second, "5 s of the database, and a client's next try")
	s.closed(t, answers)

	// Every term has had one primary.
	writers := map[string]string{}
	for term, rows := range s.books(second, "/audit/terms") {
		for _, r := range rows {
			assert.Contains(t, []string{"", r.Attrs["writer"]}, writers[term], "term %s", term)
			writers[term] = r.Attrs["writer"]
		}
	}
	assert.Len(t, writers, 2)
}

// testPrimaryRestarted: who stops in good order hands over at once.
func (s *shop) testPrimaryRestarted(t *testing.T) {
	first, second := s.primary()
	orders := drive("handover", 20, s.patient)
	orders.more(t, 20)
	s.end(first, syscall.SIGTERM)
	now, _ := s.primary()
	require.Equal(t, second, now)
	s.start(first, "")
	orders.more(t, 20)
	s.waitReady(first)
	answers := orders.stop()
	assert.Less(t, gap(answers), 4*time.Second)
	s.closed(t, answers)
}
