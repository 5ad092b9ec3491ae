package metrics_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/metrics"
	"squall/runner/record"
)

// What a Prometheus server knows of others keeps their labels, and is asked for
// by selector and token; the token is in nothing that is recorded.
func TestFederation(t *testing.T) {
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/federate" || r.Header.Get("Authorization") != "Bearer planted" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		assert.Equal(t, []string{`{job="orders"}`, `up`}, r.URL.Query()["match[]"])
		asked++
		fmt.Fprintf(w, "# TYPE calls_total counter\ncalls_total{instance=\"orders-2\",job=\"orders\"} %d %d\n", 7*asked, time.Now().UnixMilli())
	}))
	defer srv.Close()
	match := []string{`{job="orders"}`, `up`}
	n, err := metrics.Federation(srv.URL+"/", match, "planted").Look(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	_, err = metrics.Federation(srv.URL, match, "other").Look(t.Context())
	assert.ErrorContains(t, err, "403")

	target := metrics.Federation(srv.URL, match, "planted")
	ctx, cancel := context.WithCancel(t.Context())
	var got []record.Scrape
	metrics.NewScraper([]metrics.Target{target}, time.Minute, func(s record.Scrape) error {
		if got = append(got, s); len(got) == 2 {
			cancel()
		}
		return nil
	}).Run(ctx)
	require.GreaterOrEqual(t, len(got), 2)
	require.True(t, got[0].Up, got[0].Error)
	require.Len(t, got[0].New, 1)
	assert.Equal(t, map[string]string{"__name__": "calls_total", "instance": "orders-2", "job": "orders"}, got[0].New[0].Labels)
	assert.Equal(t, "prometheus", got[0].Source)
	assert.Equal(t, record.Float(21), got[1].V[0].V, "it is asked again at its own pace")
	assert.NotContains(t, fmt.Sprint(got), "planted")
}
