// Package bench measures against peers in the same run and reports ratios:
// the machines that run it are noisy, and absolute times say little.
package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	rounds    = 7 // interleaved; the median of the ratios counts
	idleConns = 5000
	edges     = 50
)

func TestMain(m *testing.M) {
	if upstream := os.Getenv(spliceUpstream); upstream != "" {
		splice(upstream)
		return
	}
	if addr := os.Getenv(serveAddress); addr != "" {
		fmt.Fprintln(os.Stderr, serveWork(addr))
		os.Exit(1)
	}
	if dir := os.Getenv(judgeRun); dir != "" {
		if err := judgeSaved(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// measures are what is driven through every arm in every round: units per
// second of wall clock, and what a unit costs the proxy in CPU time.
var measures = []struct {
	name  string
	unit  string
	drive func(b *testing.B, addr string) (units float64)
}{
	{"bulk-1", "GB", func(b *testing.B, addr string) float64 { return bulk(b, addr, 1) }},
	{"bulk-8", "GB", func(b *testing.B, addr string) float64 { return bulk(b, addr, 8) }},
	{"connections", "connection", connections},
	{"keep-alive", "request", requests},
}

// BenchmarkProxy compares the link proxy with a proxy of 40 lines that does
// nothing but splice, with stock Toxiproxy 2.12 and with HAProxy, each a process
// of its own: idle edges to splice, edges with a toxic to Toxiproxy with the
// same toxic, in the same round. `make bench` sets SQUALL_BIN.
func BenchmarkProxy(b *testing.B) {
	arms := []*arm{
		direct(b), spliceArm(b),
		squallArm(b, "tcp", ""), squallArm(b, "http", ""), toxiproxyArm(b, ""),
	}
	for _, toxic := range []string{latency0, latency1, wide} {
		arms = append(arms, squallArm(b, "tcp", toxic), toxiproxyArm(b, toxic))
	}
	if a := haproxyArm(b); a != nil {
		arms = append(arms, a)
	} else {
		b.Log("haproxy is not installed: not compared")
	}
	got := map[string][]float64{} // "measure arm": by round
	b.ResetTimer()
	for range b.N * rounds {
		for _, m := range measures {
			for _, a := range arms {
				rate, cost := a.measure(b, m.drive)
				got[m.name+" "+a.name] = append(got[m.name+" "+a.name], rate)
				got[m.name+" cpu "+a.name] = append(got[m.name+" cpu "+a.name], cost)
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(0, "ns/op") // an absolute time, of no use here
	var table strings.Builder
	for _, m := range measures {
		for _, a := range arms {
			base := "splice"
			if name, toxic, ok := strings.Cut(a.name, "+"); ok && name == "squall-tcp" {
				base = "toxiproxy+" + toxic
			}
			speed := ratio(got[m.name+" "+a.name], got[m.name+" "+base])
			fmt.Fprintf(&table, "%-12s %-22s %6.2f x %-20s", m.name, a.name, speed, base)
			if a.pid != 0 {
				cpu := ratio(got[m.name+" cpu "+a.name], got[m.name+" cpu "+base])
				fmt.Fprintf(&table, " CPU per %s %6.2f x", m.unit, cpu)
			}
			table.WriteByte('\n')
			b.ReportMetric(speed, m.name+":"+a.name+"/"+base)
		}
	}
	fmt.Printf("median of the ratios of %d rounds:\n%s", b.N*rounds, &table) // a benchmark logs ten lines at most
}

// BenchmarkProxyMemory says what a proxy keeps in memory for each of 5,000
// connections that have made one request and are idle, and for 50 edges.
func BenchmarkProxyMemory(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	for range b.N {
		for _, start := range []func() *arm{
			func() *arm { return squallArm(b, "tcp", "") },
			func() *arm { return squallArm(b, "http", "") },
			func() *arm { return squallArm(b, "tcp", latency1) },
			func() *arm { return toxiproxyArm(b, "") },
			func() *arm { return toxiproxyArm(b, latency1) },
			func() *arm { return haproxyArm(b) },
		} {
			a := start()
			if a == nil {
				b.Log("haproxy is not installed: not compared")
				continue
			}
			before := rss(b, a.pid)
			idle := openIdle(b, a.addr, idleConns)
			b.ReportMetric(float64(rss(b, a.pid)-before)/idleConns/1000, a.name+"-kB/idle-connection")
			for _, nc := range idle {
				nc.Close()
			}
			a.stop()
		}
		for _, start := range []func() *arm{
			func() *arm { return squallArm(b, "tcp", "") },
			func() *arm { return toxiproxyArm(b, "") },
		} {
			a := start()
			before := rss(b, a.pid)
			for i := range edges {
				a.addEdge(b, fmt.Sprintf("edge-%d", i))
			}
			b.ReportMetric(float64(rss(b, a.pid)-before)/1e6, fmt.Sprintf("%s-MB/%d-edges", a.name, edges))
			a.stop()
		}
	}
}

// ratio is the median of the ratios by round.
func ratio(xs, bases []float64) float64 {
	var rs []float64
	for i := range xs {
		rs = append(rs, xs[i]/bases[i])
	}
	return median(rs)
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return xs[len(xs)/2]
}

// TestRatio keeps the arithmetic of the tables honest.
func TestRatio(t *testing.T) {
	require.Equal(t, 2.0, ratio([]float64{2, 9, 4, 1, 8}, []float64{1, 1, 2, 1, 4}))
}
