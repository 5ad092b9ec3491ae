package orders

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/servicetest"
)

// TestBusAway: an order is confirmed while the bus is away, and the instance is
// restarted before it comes back. The event arrives; under D21 it is lost.
func TestBusAway(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		defects []string
		events  int
	}{
		"outbox":         {nil, 2},
		"D21 dual write": {[]string{defect.PublishWithoutOutbox}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			p, url := newPartners(t), servicetest.Bus(t)
			env := p.env("127.0.0.1:1", map[string]string{"SHOP_DATA": t.TempDir()})
			h, stop := servicetest.Run(t, Setup, config(t, 1, env, tt.defects...))
			code, _ := placeAt(t, "http://"+h.Addr(), "a", "tea")
			stop()
			assert.Equal(t, 201, code)

			env["NATS_URL"] = url
			next := instance(t, config(t, 1, env, tt.defects...))
			becomes(t, next, "a", "confirmed")
			arrived := map[string]int{}
			for n := 0; arrived["later"] == 0; n++ { // until the bus is there again
				code, _ := placeAt(t, next, fmt.Sprintf("later-%d", n), "tea")
				require.Equal(t, 201, code)
				events, _ := stream(t, url, 0)
				for _, e := range events {
					arrived[strings.SplitN(e.Key, "-", 2)[0]]++
				}
			}
			assert.Equal(t, tt.events, arrived["a"])
		})
	}
}

// TestSpansOfEvents: publishing an event is part of the order's trace, also of
// one that nobody waits for.
func TestSpansOfEvents(t *testing.T) {
	t.Parallel()
	for name, defects := range map[string][]string{"outbox": nil, "D21 dual write": {defect.PublishWithoutOutbox}} {
		t.Run(name, func(t *testing.T) {
			spans := make(chan string, 100)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				spans <- string(body)
			}))
			t.Cleanup(receiver.Close)
			env := newPartners(t).env(servicetest.Bus(t), map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.URL})
			h, stop := servicetest.Run(t, Setup, config(t, 1, env, defects...))
			code, _ := placeAt(t, "http://"+h.Addr(), "a", "tea")
			require.Equal(t, 201, code)
			require.Eventually(t, func() bool { return servicetest.Metric(t, h, "outbox_pending") == 0 }, waitLong, tick)
			stop() // sends what is left
			close(spans)
			all := ""
			for s := range spans {
				all += s
			}
			assert.Equal(t, 1, strings.Count(all, "publish orders.placed"))
			assert.Equal(t, 1, strings.Count(all, "publish orders.confirmed"))
		})
	}
}
