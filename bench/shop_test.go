package bench

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"squall/runner/load"
	"squall/runner/record"
	"squall/runner/targets/process"
	"squall/scenarios/spec"
)

const (
	shopRounds = 5
	arrival    = 100 // checkouts per second
	roundTime  = 12 * time.Second
	idleTime   = 20 * time.Second
	hops       = 10_000
)

// BenchmarkShop boots the sample system behind its proxies, looks at it while it
// is idle, and then sells 100 checkouts/s with k6 on the same machine. The cost
// of a checkout is the CPU time of all services, as a ratio to the CPU time of
// one bare request over a kept connection, measured in the same round.
// `make bench` sets SQUALL_BIN and SQUALL_K6.
func BenchmarkShop(b *testing.B) {
	squall, k6 := os.Getenv("SQUALL_BIN"), os.Getenv("SQUALL_K6")
	if squall == "" || k6 == "" {
		b.Fatal("SQUALL_BIN and SQUALL_K6 must name the binaries; run make bench")
	}
	env, state, took := boot(b, squall)
	b.ReportMetric(took.Seconds(), "ready-s")

	before := look(b, env)
	<-time.After(idleTime)
	after := look(b, env)
	b.ReportMetric(100*(after.cpu-before.cpu)/idleTime.Seconds(), "idle-%core")
	b.ReportMetric(after.memory/(1<<20), "idle-MiB")

	var cost, proxies, driver []float64
	var sold, failed, dropped int
	for range b.N * shopRounds {
		hop := bareHop(b)
		shop, links, k6CPU, out := sell(b, env, proxyURL(b, state), k6)
		orders := float64(out.ok)
		require.NotZero(b, out.ok, "nothing was sold")
		cost = append(cost, shop/orders/hop)
		proxies = append(proxies, links/orders/hop)
		driver = append(driver, k6CPU/orders/hop)
		sold, failed, dropped = sold+out.ok, failed+out.other, dropped+out.dropped
	}
	b.ReportMetric(0, "ns/op") // an absolute time, of no use here
	b.ReportMetric(median(cost), "shop-hops/checkout")
	b.ReportMetric(median(proxies), "proxy-hops/checkout")
	b.ReportMetric(median(driver), "k6-hops/checkout")
	b.ReportMetric(100*float64(sold)/float64(sold+failed), "%success")
	b.ReportMetric(float64(dropped), "dropped")
}

func boot(b *testing.B, squall string) (env *process.Environment, state string, took time.Duration) {
	state = b.TempDir()
	sys, problems := spec.LoadSystem(filepath.Join("..", "sample-system", "system.yaml"))
	require.Empty(b, problems)
	sys, problems = sys.With()
	require.Empty(b, problems)
	env = process.New(process.Config{
		System: sys, RunDir: b.TempDir(), StateDir: state,
		Self: []string{squall}, Owner: "bench", Lease: time.Minute,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for range env.Events() { // nobody asks
		}
	})
	b.Cleanup(func() {
		require.NoError(b, env.Down(context.WithoutCancel(ctx)))
		cancel()
		wg.Wait()
	})
	started := time.Now()
	require.NoError(b, env.Up(ctx))
	took = time.Since(started)
	wg.Go(func() { renew(ctx, env) })
	return env, state, took
}

// renew keeps the environment alive until ctx ends.
func renew(ctx context.Context, env *process.Environment) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = env.Renew(ctx) // a lost environment shows at once in what is measured
		}
	}
}

// usage is what all services have used and hold.
type usage struct {
	cpu    float64 // seconds
	memory float64 // bytes resident
}

func look(b *testing.B, env *process.Environment) (u usage) {
	for _, s := range env.Services() {
		families := scrape(b, s.URL+s.Metrics)
		u.cpu += value(families, "process_cpu_seconds_total")
		u.memory += value(families, "process_resident_memory_bytes")
	}
	return u
}

func scrape(b *testing.B, url string) map[string]*dto.MetricFamily {
	resp, err := http.Get(url)
	require.NoError(b, err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(b, err, url)
	return families
}

func value(families map[string]*dto.MetricFamily, name string) (sum float64) {
	for _, m := range families[name].GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sum
}

// outcomes takes what k6 says.
type outcomes struct {
	mu      sync.Mutex
	ok      int
	other   int
	drops   map[uint32]float64 // by series
	dropped int
}

// Operation counts one checkout; one that the end of the round cut off is neither.
func (o *outcomes) Operation(op record.Operation) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case op.Outcome == record.OK:
		o.ok++
	case op.Detail != "left open by its iteration":
		o.other++
	}
	return nil
}

// Scrape looks for iterations that k6 could not begin.
func (o *outcomes) Scrape(s record.Scrape) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, series := range s.New {
		if series.Labels["__name__"] == "k6_dropped_iterations_total" {
			o.drops[series.ID] = 0
		}
	}
	for _, v := range s.V {
		if _, is := o.drops[v.ID]; is {
			o.drops[v.ID] = float64(v.V)
		}
	}
	return nil
}

// Lost counts as dropped: what is not known was not seen to work.
func (o *outcomes) Lost(n uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropped += int(n)
}

// sell drives one round and returns CPU seconds of services, proxy and k6.
func sell(b *testing.B, env *process.Environment, proxyURL, k6 string) (shop, links, driver float64, out *outcomes) {
	out = &outcomes{drops: map[uint32]float64{}}
	before, linksBefore, childrenBefore := look(b, env).cpu, proxyCPU(b, proxyURL), childCPU(b)
	p, err := load.Start(load.Config{
		Binary: k6, Script: filepath.Join("..", "scenarios", "load", "checkout.js"),
		Env: env.ClientEnv(), Arrival: arrival, Duration: 2 * roundTime, Seed: uint64(time.Now().UnixNano()),
	}, out)
	require.NoError(b, err)
	<-p.Flowing()
	<-time.After(roundTime)
	_, err = p.Stop(context.Background())
	require.NoError(b, err)
	for v := range maps.Values(out.drops) {
		out.dropped += int(v)
	}
	return look(b, env).cpu - before, proxyCPU(b, proxyURL) - linksBefore, childCPU(b) - childrenBefore, out
}

func proxyCPU(b *testing.B, proxyURL string) float64 {
	return value(scrape(b, proxyURL+"/metrics"), "process_cpu_seconds_total")
}

// proxyURL is the API of the link proxy of the one environment there is.
func proxyURL(b *testing.B, state string) string {
	envs, err := process.List(state)
	require.NoError(b, err)
	require.Len(b, envs, 1)
	return envs[0].ProxyURL
}

// childCPU is the CPU time of children that have ended: k6, for the system's
// supervisor is still there.
func childCPU(b *testing.B) float64 { return cpuTime(b, syscall.RUSAGE_CHILDREN) }

func cpuTime(b *testing.B, who int) float64 {
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(who, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
}

// bareHop is the CPU time of one request and its answer, both ends together.
func bareHop(b *testing.B) float64 {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, `{"id":"12345678-1-1","status":"confirmed"}`)
	}))
	defer srv.Close()
	client := srv.Client()
	before := cpuTime(b, syscall.RUSAGE_SELF)
	for range hops {
		resp, err := client.Get(srv.URL)
		require.NoError(b, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	runtime.Gosched()
	return (cpuTime(b, syscall.RUSAGE_SELF) - before) / hops
}
