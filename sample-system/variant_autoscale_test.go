//go:build e2e

package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/registry"
)

// TestVariantAutoscale: more instances of catalog under load, fewer without.
func TestVariantAutoscale(t *testing.T) {
	s := startShop(t, variant{
		also: []member{{"autoscaler", []string{"autoscaler"}}},
		env: func(s *shop, name string) []string {
			if name == "autoscaler" {
				return []string{"SCALE_TARGET=20", "SCALE_IDLE=2s", "SCALE_EVERY=250ms", "SHOP_DATA=" + filepath.Join(s.dir, "catalog")}
			}
			return nil
		},
	})
	s.parts(t, part{"a step of load and its end", s.testStep})
}

// started is how many instances the autoscaler has started.
func (s *shop) started() float64 {
	return metric(s.t, s.addr["autoscaler.ops"], "autoscaler_instances", map[string]string{"by": "autoscaler"})
}

// registered is an instance of catalog as the registry knows it.
func (s *shop) registered(t *testing.T, name string) (found registry.Instance, ok bool) {
	conn, err := nats.Connect(s.addr["nats-1.client"])
	require.NoError(t, err)
	defer conn.Close()
	js, err := conn.JetStream()
	require.NoError(t, err)
	kv, err := js.KeyValue("registry")
	require.NoError(t, err)
	entry, err := kv.Get("catalog." + name)
	if err != nil {
		return found, false
	}
	require.NoError(t, json.Unmarshal(entry.Value(), &found))
	return found, true
}

func (s *shop) testStep(t *testing.T) {
	calm, orders := drive("calm", 10, s.pages), drive("order-step", 5, s.checkouts)
	calm.more(t, 20)
	assert.Zero(t, s.started(), "two carry this")

	began := time.Now()
	step := drive("step", 100, s.pages)
	served := map[string]float64{}
	for _, name := range []string{"catalog-11", "catalog-12"} {
		eventually(t, func() bool {
			if i, ok := s.registered(t, name); ok {
				served[name] = metric(t, i.Ops, "http_server_request_duration_seconds", map[string]string{"route": "/products/{sku}", "code": "200"})
			}
			return served[name] > 10
		}, 15*time.Second, name+" takes traffic")
	}
	t.Logf("new instances take traffic %s after the step: %v", time.Since(began).Round(10*time.Millisecond), served)
	assert.Equal(t, 2.0, s.started(), "no more than allowed")
	allWith(t, 200, step.stop())

	eventually(t, func() bool { return s.started() == 0 }, 15*time.Second, "they are drained when idle")
	_, ok := s.registered(t, "catalog-11")
	assert.False(t, ok)
	calm.more(t, 20)
	allWith(t, 200, calm.stop())
	allWith(t, 201, orders.stop())

	var states []string
	for _, row := range s.books("autoscaler", "/audit/scaling")["catalog"] {
		states = append(states, row.State)
	}
	assert.Equal(t, []string{"out", "out", "in", "in"}, states)
	assert.False(t, slices.Contains(states, "died"))
	assert.Equal(t, http.StatusOK, s.ops("autoscaler", http.MethodGet, "/readyz", "", nil))
}
