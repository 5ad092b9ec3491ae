// Package bench measures against peers in the same run and reports ratios:
// the machines that run it are noisy, and absolute times say little.
package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"squall/faults/proxy"
)

const (
	rounds   = 7 // interleaved; the median of the ratios counts
	requests = 3000
	callers  = 16
)

// arm is one way to the server.
type arm struct {
	name string
	url  string
}

// BenchmarkKeepAlive compares requests per second over kept connections: ours
// with and without its HTTP stage, a 40-line splice proxy, and stock Toxiproxy
// 2.12, each without a fault, as a ratio to the splice proxy in the same round.
func BenchmarkKeepAlive(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "forty bytes of body, more or less, of it")
	}))
	defer srv.Close()
	upstream := srv.Listener.Addr().String()
	arms := []arm{
		{"splice", "http://" + splice(b, upstream)},
		{"squall-tcp", "http://" + ours(b, upstream, "tcp")},
		{"squall-http", "http://" + ours(b, upstream, "http")},
		{"toxiproxy", "http://" + stock(b, upstream)},
	}
	ratios := map[string][]float64{}
	b.ResetTimer()
	for range b.N {
		for range rounds {
			var base float64
			for _, a := range arms {
				rate := drive(b, a.url)
				if base == 0 {
					base = rate
				}
				ratios[a.name] = append(ratios[a.name], rate/base)
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(0, "ns/op") // an absolute time, of no use here
	for _, a := range arms[1:] {
		b.ReportMetric(median(ratios[a.name]), a.name+"/splice")
	}
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}

// drive makes the requests of one round and returns their rate per second.
func drive(b *testing.B, url string) float64 {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	defer client.CloseIdleConnections()
	begun := time.Now()
	var wg sync.WaitGroup
	errs := make(chan error, callers)
	for range callers {
		wg.Go(func() {
			for range requests / callers {
				res, err := client.Get(url)
				if err != nil {
					errs <- err
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if res.StatusCode != http.StatusOK {
					errs <- fmt.Errorf("%s: %s", url, res.Status)
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(b, err)
	}
	return requests / time.Since(begun).Seconds()
}

// ours is a link proxy without a stage.
func ours(b *testing.B, upstream, protocol string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- proxy.NewServer(proxy.Options{}).Serve(ctx, l) }()
	b.Cleanup(func() {
		cancel()
		require.NoError(b, <-done)
	})
	p, err := proxy.NewClient("http://"+l.Addr().String()).CreateProxy(ctx, proxy.Proxy{
		Name: "edge", Listen: "127.0.0.1:0", Upstream: upstream, Enabled: true, Protocol: protocol,
	})
	require.NoError(b, err)
	return p.Listen
}

// stock is Toxiproxy itself, without a toxic.
func stock(b *testing.B, upstream string) string {
	srv := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(srv, "edge", "127.0.0.1:0", upstream)
	require.NoError(b, srv.Collection.Add(p, true))
	b.Cleanup(p.Stop)
	return p.Listen
}

// splice is the least a proxy can be: two copies, which the kernel splices.
func splice(b *testing.B, upstream string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				u, err := net.Dial("tcp", upstream)
				if err != nil {
					return
				}
				defer u.Close()
				go func() {
					_, _ = io.Copy(u, c)
					_ = u.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(c, u)
			}()
		}
	}()
	return l.Addr().String()
}
