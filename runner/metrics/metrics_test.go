package metrics_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/metrics"
	"squall/runner/record"
)

var start = time.Unix(1_700_000_000, 0)

const tick = 250 * time.Millisecond

// at is the instant of the nth tick.
func at(n int) time.Time { return start.Add(time.Duration(n) * tick) }

func scrape(source string, n int) record.Scrape {
	return record.Scrape{At: at(n).UnixNano(), Source: source, Up: true}
}

func series(id uint32, name, typ string, l ...string) record.Series {
	m := map[string]string{"__name__": name}
	for i := 0; i < len(l); i += 2 {
		m[l[i]] = l[i+1]
	}
	return record.Series{ID: id, Labels: m, Type: typ}
}

func load(t *testing.T, scrapes ...record.Scrape) *metrics.Store {
	t.Helper()
	s, err := metrics.Load(scrapes)
	require.NoError(t, err)
	return s
}

// one evaluates an expression that gives one number.
func one(t *testing.T, s *metrics.Store, expr string, window time.Duration, when time.Time) float64 {
	t.Helper()
	run, err := metrics.Expand(expr, window)
	require.NoError(t, err)
	res, err := metrics.NewEngine().Instant(context.Background(), s, run, when)
	require.NoError(t, err)
	require.Len(t, res.Samples, 1, "%s gives one value", run)
	return res.Samples[0].V
}

func none(t *testing.T, s *metrics.Store, expr string, when time.Time) {
	t.Helper()
	res, err := metrics.NewEngine().Instant(context.Background(), s, expr, when)
	require.NoError(t, err)
	assert.Empty(t, res.Samples)
}

// A counter that first shows itself at 7 has counted 7.
func TestCounterThatAppearsLateCountsFromZero(t *testing.T) {
	var all []record.Scrape
	for n := range 41 {
		sc := scrape("a", n)
		if n == 20 {
			sc.New = []record.Series{series(1, "errors_total", "counter")}
			sc.V = []record.Value{{ID: 1, V: 7}}
		}
		all = append(all, sc)
	}
	assert.Equal(t, 7.0, one(t, load(t, all...), "increase(errors_total[$window])", 8*time.Second, at(40)))
}

// Six events are six, not 6.078.
func TestIncreaseIsExact(t *testing.T) {
	var all []record.Scrape
	for n := range 101 {
		sc := scrape("a", n)
		if n == 0 {
			sc.New = []record.Series{series(1, "x_total", "counter")}
		}
		if n%15 == 0 {
			sc.V = []record.Value{{ID: 1, V: record.Float(n / 15)}}
		}
		all = append(all, sc)
	}
	assert.Equal(t, 6.0, one(t, load(t, all...), "increase(x_total[$window])", 25*time.Second, at(100)))
}

func TestRestartedCounterGoesOn(t *testing.T) {
	var all []record.Scrape
	for n := range 41 {
		sc := scrape("a", n)
		switch {
		case n == 0:
			sc.New = []record.Series{series(1, "x_total", "counter"), series(2, "process_start_time_seconds", "gauge")}
			sc.V = []record.Value{{ID: 1, V: 0}, {ID: 2, V: 1}}
		case n == 10:
			sc.V = []record.Value{{ID: 1, V: 100}}
		case n > 15 && n < 20:
			sc.Up = false
		case n == 20:
			sc.V = []record.Value{{ID: 1, V: 5}, {ID: 2, V: 2}}
		}
		all = append(all, sc)
	}
	assert.Equal(t, 105.0, one(t, load(t, all...), "increase(x_total[$window])", 10*time.Second, at(40)))
}

func TestDeadSourceHasNoValue(t *testing.T) {
	var all []record.Scrape
	for n := range 20 {
		sc := scrape("a", n)
		if n == 0 {
			sc.New = []record.Series{series(1, "up_for", "gauge")}
			sc.V = []record.Value{{ID: 1, V: 1}}
		}
		sc.Up = n < 10
		all = append(all, sc)
	}
	s := load(t, all...)
	assert.Equal(t, 1.0, one(t, s, "up_for", time.Second, at(9)))
	none(t, s, "up_for", at(10))
	assert.Equal(t, 1.0, one(t, s, "up", time.Second, at(9)))
	assert.Equal(t, 0.0, one(t, s, "up", time.Second, at(10)))
}

func TestAbsentSeriesIsEmptyNotZero(t *testing.T) {
	s := load(t, scrape("a", 0), scrape("a", 1))
	none(t, s, "sum(increase(nothing_total[5s]))", at(1))
	ev, err := metrics.NewEngine().Evidence(context.Background(), s, "sum(increase(nothing_total[5s]))", at(1))
	require.NoError(t, err)
	assert.Equal(t, []string{"nothing_total"}, ev.Absent)
	assert.Zero(t, ev.Samples)
}

func TestWindowsAreOpenOnTheLeft(t *testing.T) {
	var all []record.Scrape
	for n := range 9 {
		sc := scrape("a", n)
		if n == 0 {
			sc.New = []record.Series{series(1, "g", "gauge")}
		}
		sc.V = []record.Value{{ID: 1, V: record.Float(n)}}
		all = append(all, sc)
	}
	s := load(t, all...)
	assert.Equal(t, 4.0, one(t, s, "count_over_time(g[$window])", time.Second, at(8)))
	ev, err := metrics.NewEngine().Evidence(context.Background(), s, "count_over_time(g[1s])", at(8))
	require.NoError(t, err)
	assert.Equal(t, 4, ev.Samples)
}

// observed is a native histogram as the load generator counts it.
type observed struct {
	counts map[int64]int64
	n      uint64
	sum    float64
}

func (o *observed) observe(v float64) {
	o.counts[int64(math.Ceil(math.Log2(v)*64))]++
	o.n++
	o.sum += v
}

func (o *observed) value(id uint32) record.HistValue {
	h := record.HistValue{ID: id, Schema: 6, Count: o.n, Sum: record.Float(o.sum)}
	for i, c := range o.counts {
		h.Pos = append(h.Pos, record.Bucket{i, c})
	}
	slices.SortFunc(h.Pos, func(a, b record.Bucket) int { return int(a[0] - b[0]) })
	return h
}

// latencies makes a run whose fault, in the second half, slows one call in twenty.
func latencies(t *testing.T) (s *metrics.Store, exact []float64) {
	rng := rand.New(rand.NewPCG(1, 2))
	o := &observed{counts: map[int64]int64{}}
	var all []record.Scrape
	for n := range 161 {
		sc := scrape("a", n)
		if n == 0 {
			sc.New = []record.Series{series(1, "d_seconds", "histogram")}
		}
		for range 25 {
			v := 0.02 * math.Exp(rng.NormFloat64()*0.5)
			if n > 80 && rng.Float64() < 0.05 {
				v = 0.7 + 0.2*rng.Float64()
			}
			o.observe(v)
			if n > 80 {
				exact = append(exact, v)
			}
		}
		sc.H = []record.HistValue{o.value(1)}
		all = append(all, sc)
	}
	slices.Sort(exact)
	return load(t, all...), exact
}

func TestQuantilesWithinTwoPercent(t *testing.T) {
	s, exact := latencies(t)
	for _, q := range []float64{0.5, 0.95, 0.99} {
		want := exact[int(q*float64(len(exact)))]
		got := one(t, s, fmt.Sprintf("histogram_quantile(%g, sum(rate(d_seconds[$window])))", q), 20*time.Second, at(160))
		assert.InEpsilon(t, want, got, 0.02, "p%g", q*100)
	}
	assert.InEpsilon(t, len(exact), one(t, s, "histogram_count(increase(d_seconds[$window]))", 20*time.Second, at(160)), 0.001)
	ev, err := metrics.NewEngine().Evidence(context.Background(), s, "rate(d_seconds[20s])", at(160))
	require.NoError(t, err)
	assert.True(t, ev.Histograms)
	assert.Equal(t, float64(len(exact)), ev.Observations)
}

// An engine that was given the store's own histograms would change them.
func TestQueriesDoNotChangeTheStore(t *testing.T) {
	s, _ := latencies(t)
	const expr = "histogram_fraction(0, 0.5, rate(d_seconds[$window]))"
	before := one(t, s, expr, 20*time.Second, at(160))
	for _, e := range []string{"histogram_avg(rate(d_seconds[20s]))", "sum(d_seconds) * 3", "-d_seconds"} {
		query, err := metrics.NewEngine().Range(context.Background(), s, e, at(80), at(160), time.Second)
		require.NoError(t, err)
		_ = query
	}
	assert.Equal(t, before, one(t, s, expr, 20*time.Second, at(160)))
}

func TestScrapeRealEndpoint(t *testing.T) {
	reg := prometheus.NewRegistry()
	hist := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "d_seconds", NativeHistogramBucketFactor: 1.1})
	count := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x_total"}, []string{"code"})
	reg.MustRegister(hist, count)
	var mu sync.Mutex
	down := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	}))
	defer srv.Close()

	scrapes := make(chan record.Scrape, 100)
	s := metrics.NewScraper([]metrics.Target{{Name: "svc-1", Job: "svc", URL: srv.URL}}, 20*time.Millisecond, func(x record.Scrape) error {
		scrapes <- x
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	store := metrics.NewStore()
	until := func(what string, ok func(record.Scrape) bool) {
		t.Helper()
		for {
			select {
			case sc := <-scrapes:
				require.NoError(t, store.Append(sc))
				if ok(sc) {
					return
				}
			case <-time.After(5 * time.Second):
				require.Fail(t, what)
			}
		}
	}
	until("first scrape", func(x record.Scrape) bool { return x.Up })
	assert.Equal(t, 1.0, one(t, store, `sum(up{job="svc",instance="svc-1"})`, time.Minute, time.Now()))
	hist.Observe(0.1)
	count.WithLabelValues("503").Add(7)
	var last record.Scrape
	until("the new counter", func(x record.Scrape) bool { last = x; return len(x.V) > 0 && len(x.New) > 0 })
	assert.Equal(t, 7.0, one(t, store, `sum(increase(x_total{code="503",job="svc"}[$window]))`, time.Minute, time.Unix(0, last.At)))
	assert.Equal(t, 1.0, one(t, store, "histogram_count(sum(increase(d_seconds[$window])))", time.Minute, time.Unix(0, last.At)))
	count.Reset()
	until("the counter gone", func(x record.Scrape) bool { return len(x.Gone) == 1 })
	mu.Lock()
	down = true
	mu.Unlock()
	until("a failed scrape", func(x record.Scrape) bool { return !x.Up && x.Error != "" })
	cancel()
	<-done
}

// Labels of the process do not pass for those of the target.
func TestExposedJobAndInstanceAreKeptApart(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `x{job="theirs",exported_job="older",instance="i-7"} 1`)
	}))
	defer srv.Close()
	scrapes := make(chan record.Scrape, 2)
	ctx, cancel := context.WithCancel(t.Context())
	metrics.NewScraper([]metrics.Target{{Name: "svc-1", Job: "svc", URL: srv.URL}}, time.Minute, func(x record.Scrape) error {
		cancel()
		scrapes <- x
		return nil
	}).Run(ctx)
	first := <-scrapes
	require.Len(t, first.New, 1, first.Error)
	assert.Equal(t, map[string]string{
		"__name__": "x", "job": "svc", "instance": "svc-1",
		"exported_exported_job": "theirs", "exported_job": "older", "exported_instance": "i-7",
	}, first.New[0].Labels)
}

func TestDamagedScrapesAreRefused(t *testing.T) {
	hist := func(bs ...record.Bucket) record.Scrape {
		sc := scrape("a", 0)
		sc.New = []record.Series{series(1, "h", "histogram")}
		sc.H = []record.HistValue{{ID: 1, Schema: 5, Count: 2, Pos: bs}}
		return sc
	}
	twice := scrape("a", 0)
	twice.New = []record.Series{series(1, "x", "gauge"), series(1, "y", "gauge")}
	for want, sc := range map[string]record.Scrape{
		"bucket 3 follows 9":              hist(record.Bucket{9, 1}, record.Bucket{3, 1}),
		"follows -1":                      hist(record.Bucket{1 << 40, 2}),
		"1 observations found in buckets": hist(record.Bucket{3, 1}),
		"series 1 introduced twice":       twice,
	} {
		_, err := metrics.Load([]record.Scrape{sc})
		assert.ErrorContains(t, err, want)
	}
	require.NoError(t, metrics.NewStore().Append(hist(record.Bucket{3, 1}, record.Bucket{9, 1})))
}
