// The load of a service: requests/s over all its instances, from their own
// metrics.
//
// Answers: what to decide by. Requests that were refused count too: they are
// what the instances there are could not carry.
// Numbers: 500 ms for a scrape; all instances at once.
// Costs: one scrape, some 50 KB of text, per instance and second.
// Breaks without it: TestLoad. Off switch: none.

package autoscaler

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
)

const (
	scrapeTimeout = 500 * time.Millisecond
	maxScrape     = 4 << 20
	requestMetric = "http_server_request_duration_seconds"
)

// meter turns the instances' counters into a rate.
type meter struct {
	client *http.Client
	failed *prometheus.CounterVec
	before map[string]reading // by instance
}

type reading struct {
	at       time.Time
	requests float64
}

func newMeter(h *service.Host) *meter {
	transport := &http.Transport{MaxIdleConnsPerHost: 1}
	h.OnClose(func() error { transport.CloseIdleConnections(); return nil })
	return &meter{
		client: &http.Client{Transport: transport, Timeout: scrapeTimeout},
		failed: h.Counter("autoscaler_scrape_failures_total", "Scrapes that failed, by instance.", "of"),
		before: map[string]reading{},
	}
}

// rate is the load since the last call; ok is false if no instance could be
// read now and then. An instance that is new, or was started anew, counts from
// the next time on.
func (m *meter) rate(ctx context.Context, instances []registry.Instance) (perSecond float64, ok bool) {
	now := m.readAll(ctx, instances)
	for name, r := range now {
		b, known := m.before[name]
		if !known || r.requests < b.requests {
			continue
		}
		perSecond += (r.requests - b.requests) / r.at.Sub(b.at).Seconds()
		ok = true
	}
	m.before = now
	return perSecond, ok
}

func (m *meter) readAll(ctx context.Context, instances []registry.Instance) map[string]reading {
	var wg sync.WaitGroup
	var mu sync.Mutex
	all := map[string]reading{}
	for _, i := range instances {
		if i.Ops == "" { // not registered yet
			continue
		}
		wg.Go(func() {
			requests, err := m.read(ctx, "http://"+i.Ops+"/metrics")
			if err != nil {
				m.failed.WithLabelValues(i.Name).Inc()
				return
			}
			mu.Lock()
			defer mu.Unlock()
			all[i.Name] = reading{time.Now(), requests}
		})
	}
	wg.Wait()
	return all
}

// read is the number of requests an instance has answered.
func (m *meter) read(ctx context.Context, url string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("scrape %s: %s", url, resp.Status)
	}
	return requests(io.LimitReader(resp.Body, maxScrape))
}

// requests sums the counts of all routes in a text exposition.
func requests(r io.Reader) (sum float64, err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return 0, fmt.Errorf("scrape: %w", err)
	}
	for _, metric := range families[requestMetric].GetMetric() {
		sum += float64(metric.GetHistogram().GetSampleCount())
	}
	return sum, nil
}
