package autoscaler

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

// TestPolicy follows a load second by second; base is 2, and what is decided is
// there at once.
func TestPolicy(t *testing.T) {
	p := settings{target: 100, most: 3, idle: 5 * time.Second}
	for name, test := range map[string]struct {
		start int // instances added before
		load  []float64
		want  []int
	}{
		"steady":                {0, []float64{150, 150, 150}, []int{0, 0, 0}},
		"a burst of a second":   {0, []float64{150, 900, 150, 900, 150}, []int{0, 0, 0, 0, 0}},
		"a step":                {0, []float64{150, 350, 350, 350}, []int{0, 0, 2, 2}},
		"rises on":              {0, []float64{250, 250, 350, 350}, []int{0, 1, 1, 2}},
		"hardly above":          {0, []float64{210, 219, 215, 205}, []int{0, 0, 0, 0}},
		"bounded":               {0, []float64{9000, 9000, 9000}, []int{0, 3, 3}},
		"idle, one at a time":   {2, []float64{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []int{2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 0}},
		"busy again in between": {1, []float64{0, 0, 0, 250, 0, 0, 0, 0, 0, 0}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 0}},
		"nothing to remove":     {0, []float64{0, 0, 0, 0, 0, 0, 0, 0}, []int{0, 0, 0, 0, 0, 0, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			d, extra, got := decider{settings: p}, test.start, []int{}
			for second, load := range test.load {
				next, why := d.next(time.Unix(int64(second), 0), load, 2, extra)
				assert.Equal(t, next != extra, why != "", "second %d: a decision has a reason", second)
				extra = next
				got = append(got, extra)
			}
			assert.Equal(t, test.want, got)
		})
	}
}

func TestSettings(t *testing.T) {
	read := func(env map[string]string) (settings, error) {
		return settingsOf(service.Config{Name: "autoscaler", Getenv: func(name string) string { return env[name] }})
	}
	p, err := read(nil)
	require.NoError(t, err)
	assert.Equal(t, settings{target: 100, most: 2, idle: 30 * time.Second, every: time.Second}, p)
	p, err = read(map[string]string{"SCALE_TARGET": "12.5", "SCALE_MAX": "4", "SCALE_IDLE": "10s", "SCALE_EVERY": "200ms"})
	require.NoError(t, err)
	assert.Equal(t, settings{target: 12.5, most: 4, idle: 10 * time.Second, every: 200 * time.Millisecond}, p)
	for _, bad := range [][2]string{
		{"SCALE_TARGET", "0"}, {"SCALE_TARGET", "NaN"}, {"SCALE_TARGET", "many"}, {"SCALE_MAX", "0"}, {"SCALE_MAX", "21"}, {"SCALE_IDLE", "soon"}, {"SCALE_IDLE", "1ms"}, {"SCALE_EVERY", "0s"},
	} {
		_, err := read(map[string]string{bad[0]: bad[1]})
		assert.ErrorContains(t, err, bad[0])
	}
}

// TestLoad: the rate is that of all instances that were read twice; a new one,
// one that was started anew and one that does not answer count for nothing.
func TestLoad(t *testing.T) {
	counts := map[string]int{"a": 100, "b": 1000}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, ok := counts[strings.Split(r.Host, ".")[0]]
		if !ok {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "# TYPE %[1]s histogram\n%[1]s_count{route=\"/x\"} %[2]d\n%[1]s_count{route=\"/y\"} 5\n# TYPE other counter\nother 9\n", requestMetric, n)
	}))
	defer server.Close()
	h := servicetest.Host(t)
	m := newMeter(h)
	m.client.Transport = named{server.Listener.Addr().String()}
	instances := []registry.Instance{{Name: "a", Ops: "a.test"}, {Name: "b", Ops: "b.test"}, {Name: "promised"}}

	_, ok := m.rate(t.Context(), instances)
	assert.False(t, ok, "one reading is no rate")
	for name, r := range m.before { // two seconds ago
		m.before[name] = reading{r.at.Add(-2 * time.Second), r.requests}
	}
	counts["a"], counts["b"], counts["c"] = 160, 40, 77
	rate, ok := m.rate(t.Context(), append(instances, registry.Instance{Name: "c", Ops: "c.test"}))
	assert.True(t, ok)
	assert.InDelta(t, 30, rate, 3)

	clear(counts)
	_, ok = m.rate(t.Context(), instances)
	assert.False(t, ok, "nobody answers")
	assert.EqualValues(t, 2, servicetest.Metric(t, h, "autoscaler_scrape_failures_total"))
}

// named sends requests for any host to one address.
type named struct{ addr string }

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(context.WithoutCancel(r.Context()))
	r.Host, r.URL.Host = r.URL.Host, n.addr
	return http.DefaultTransport.RoundTrip(r)
}

func FuzzRequests(f *testing.F) {
	f.Add("# TYPE http_server_request_duration_seconds histogram\nhttp_server_request_duration_seconds_count 7\n")
	f.Add("http_server_request_duration_seconds 7\n")
	f.Add("# TYPE x counter\nx{a=\"")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := requests(io.LimitReader(strings.NewReader(text), maxScrape)); err == nil && n < 0 {
			t.Fatalf("%q is %v requests", text, n)
		}
	})
}
