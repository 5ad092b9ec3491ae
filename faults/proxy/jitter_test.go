package proxy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/faults"
)

// The delays of the jitter test in milliseconds: long enough that what a machine
// adds is small against them.
const (
	jitterLatency = 80
	jitterSpread  = 30
)

// shapes are the distributions of delay - latency in milliseconds, as the
// kind's reference states them.
var shapes = map[string]func(x float64) float64{
	"uniform": func(x float64) float64 { return min(max((x+jitterSpread)/(2*jitterSpread), 0), 1) },
	// Below zero there is nothing, which this far out hardly shows.
	"normal":      func(x float64) float64 { return math.Erfc(-x/jitterSpread/math.Sqrt2) / 2 },
	"exponential": func(x float64) float64 { return 1 - math.Exp(-max(x, 0)/jitterSpread) },
	"pareto":      func(x float64) float64 { return 1 - math.Pow(1+max(x, 0)/(2*jitterSpread), -3) },
}

// TestDeliveredJitterFollowsItsDistribution measures round trips with one
// message in flight on each connection and compares them with the stated
// distribution by the statistic of Kolmogorov and Smirnov.
//
// A machine that adds O to each delay turns F(x) into E[F(x-O)]. O is what delays
// without jitter show at the same time.
func TestDeliveredJitterFollowsItsDistribution(t *testing.T) {
	const conns, each = 120, 12
	critical := 1.95 / math.Sqrt(conns*each) // passed by chance once in 1,000 times
	spread, plain := newJitterRig(t, conns), newJitterRig(t, conns/2)
	for name := range shapes {
		t.Run(name, func(t *testing.T) {
			var said []string
			for range 20 { // rounds: another process may have had the machine
				var got, added []float64
				var both sync.WaitGroup
				both.Go(func() { got = spread.excess(t, jitterStage(name, jitterSpread), each) })
				both.Go(func() { added = plain.excess(t, jitterStage("", 0), each) })
				both.Wait()
				if t.Failed() {
					return
				}
				d := distance(got, added, name)
				near := slices.MinFunc(slices.Collect(maps.Keys(shapes)), func(a, b string) int {
					return cmp.Compare(distance(got, added, a), distance(got, added, b))
				})
				said = append(said, fmt.Sprintf("distance %.3f, bound %.3f, nearest is %s, the machine adds %.2f ms", d, critical, near, mean(added)))
				if d <= critical && near == name {
					t.Log(said)
					return
				}
			}
			assert.Fail(t, "not as stated", said)
		})
	}
}

// jitterRig is an edge with live connections.
type jitterRig struct {
	*rig
	conns []*net.TCPConn
}

func newJitterRig(t *testing.T, conns int) *jitterRig {
	t.Helper()
	r := &jitterRig{rig: newRig(t, "tcp", tcpServer(t, echo), Options{})}
	for range conns {
		r.conns = append(r.conns, r.dial())
	}
	return r
}

func jitterStage(distribution string, jitter int) faults.Stage {
	a, _ := json.Marshal(map[string]any{"latency": jitterLatency, "jitter": jitter, "distribution": distribution})
	return faults.Stage{Seed: 11, Toxics: []faults.Toxic{{Type: "latency", Toxicity: 1, Attributes: a}}}
}

// excess is by how many milliseconds each round trip took longer than the latency.
func (r *jitterRig) excess(t *testing.T, s faults.Stage, each int) (ms []float64) {
	if !assert.NoError(t, r.link.PutStage(r.ctx, "jitter", s)) {
		return nil
	}
	defer func() { assert.NoError(t, r.link.DeleteStage(r.ctx, "jitter")) }()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n, nc := range r.conns {
		wg.Go(func() {
			// Spread out, or all would want the machine in the same moment, each time.
			<-time.After(time.Duration(n) * jitterLatency * time.Millisecond / time.Duration(len(r.conns)))
			nc.SetDeadline(time.Now().Add(30 * time.Second))
			b := []byte{1}
			for range each {
				start := time.Now()
				_, err := nc.Write(b)
				if err == nil {
					_, err = nc.Read(b)
				}
				took := time.Since(start)
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				ms = append(ms, float64(took)/float64(time.Millisecond)-jitterLatency)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return ms
}

func mean(xs []float64) (sum float64) {
	for _, x := range xs {
		sum += x
	}
	return sum / float64(len(xs))
}

// distance is the greatest between the sample and the distribution of that name
// on a machine that adds this.
func distance(sample, added []float64, name string) (d float64) {
	slices.Sort(sample)
	for i, x := range sample {
		f := 0.0
		for _, o := range added {
			f += shapes[name](x-o) / float64(len(added))
		}
		d = max(d, f-float64(i)/float64(len(sample)), float64(i+1)/float64(len(sample))-f)
	}
	return d
}
