//go:build e2e

package main

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const canary = "catalog-canary"

// TestVariantCanary: two versions of catalog beside each other.
func TestVariantCanary(t *testing.T) {
	s := startShop(t, variant{
		also: []member{{"catalog", []string{canary}}},
		env: func(_ *shop, name string) []string {
			if name == canary {
				return []string{"SHOP_VERSION=v2", "SHOP_WEIGHT=0"}
			}
			return nil
		},
	})
	s.parts(t,
		part{"a good one keeps its share", s.testGoodCanary},
		part{"blue/green", s.testBlueGreen},
		part{"a bad one loses it", s.testBadCanary},
		part{"a bad one keeps it under D37", s.testBadCanaryD37},
	)
}

// deploy decides on the catalog's traffic, once the gateway knows the version.
func (s *shop) deploy(body string) {
	s.t.Helper()
	eventually(s.t, func() bool { return s.ops("gateway", http.MethodPut, "/deploys/catalog", body, nil) == 200 }, 10*time.Second, body)
}

// share is the percentage that the second version gets.
func (s *shop) share() int {
	var all struct {
		Services map[string]struct {
			Canary *struct{ Weight int }
		}
	}
	require.Equal(s.t, 200, s.ops("gateway", http.MethodGet, "/deploys", "", &all))
	if c := all.Services["catalog"].Canary; c != nil {
		return c.Weight
	}
	return 0
}

// served is how many requests an instance has answered with a status.
func (s *shop) served(name, code string) float64 {
	return metric(s.t, s.addr[name+".ops"], "http_server_request_duration_seconds", map[string]string{"route": "/products/{sku}", "code": code})
}

func (s *shop) replaceCanary(env ...string) {
	s.end(canary, syscall.SIGTERM)
	s.start(canary, "", env...)
	s.waitReady(canary)
}

func (s *shop) testGoodCanary(t *testing.T) {
	traffic := drive("good", 100, s.pages)
	traffic.more(t, 20)
	assert.Zero(t, s.served(canary, "200"), "a dark version gets nothing")
	s.deploy(`{"canary":{"version":"v2","weight":10}}`)
	eventually(t, func() bool { return s.served(canary, "200") >= 40 }, 15*time.Second, "the canary gets its share")
	assert.Equal(t, 10, s.share())
	allWith(t, 200, traffic.stop())
}

func (s *shop) testBlueGreen(t *testing.T) {
	s.deploy(`{"live":"v1"}`)
	traffic, orders := drive("green", 50, s.pages), drive("order-green", 10, s.checkouts)
	for _, version := range []string{"v2", "v1", "v2", "v1"} {
		s.deploy(`{"live":"` + version + `"}`)
		var page struct{ Product struct{ Version string } }
		require.Equal(t, 200, ask(t, http.MethodGet, "http://"+s.addr["gateway.http"]+"/products/tea", "", &page))
		assert.Equal(t, version, page.Product.Version)
		traffic.more(t, 30)
	}
	allWith(t, 200, traffic.stop())
	allWith(t, 201, orders.stop())
}

func (s *shop) testBadCanary(t *testing.T) {
	s.replaceCanary("SHOP_FAULTY=100")
	pages, orders := drive("bad", 100, s.pages), drive("order-bad", 10, s.checkouts)
	pages.more(t, 50)
	began := time.Now()
	s.deploy(`{"canary":{"version":"v2","weight":10}}`)
	eventually(t, func() bool { return s.share() == 0 }, 15*time.Second, "the share falls by itself")
	t.Logf("rolled back after %s and %v failures", time.Since(began).Round(time.Millisecond), s.served(canary, "500"))
	failures := s.served(canary, "500")
	assert.Less(t, failures, 60.0, "about twenty calls are enough")
	pages.more(t, 50)
	assert.InDelta(t, failures, s.served(canary, "500"), 2, "nothing is sent there any more") // but what was under way
	allWith(t, 200, pages.stop())
	allWith(t, 201, orders.stop())
	assert.Equal(t, 1.0, metric(t, s.addr["gateway.ops"], "gateway_rollbacks_total", map[string]string{"callee": "catalog", "kind": "canary"}))
	rows := s.books("gateway", "/audit/deploys")["deploy.catalog"]
	require.NotEmpty(t, rows)
	last := rows[len(rows)-1].Attrs
	assert.Equal(t, "gateway", last["by"])
	assert.Equal(t, "0", last["weight"])
	assert.Contains(t, last["reason"], "calls to v2 failed")
}

func (s *shop) testBadCanaryD37(t *testing.T) {
	s.end("gateway", syscall.SIGTERM)
	s.start("gateway", "D37")
	s.waitReady("gateway")
	s.deploy(`{"canary":{"version":"v2","weight":5}}`)
	before := s.served(canary, "500")
	traffic := drive("unseen", 150, s.pages)
	eventually(t, func() bool { return s.served(canary, "500") >= before+50 }, 20*time.Second, "the canary goes on failing")
	assert.Equal(t, 5, s.share(), "nobody looks at the canary itself")
	traffic.stop() // users may see some of it now
}
