package metrics_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/metrics"
	"squall/runner/record"
)

// Quantiles of what the load generator counts are those of the events
// themselves, whatever their distribution and wherever the fault begins: the
// order statistics of all durations, which the generator does not send.
func TestQuantilesAreOrderStatistics(t *testing.T) {
	distributions := map[string]func(*rand.Rand) float64{
		"lognormal": func(r *rand.Rand) float64 { return 0.02 * math.Exp(0.6*r.NormFloat64()) },
		"uniform":   func(r *rand.Rand) float64 { return 0.005 + 0.1*r.Float64() },
		"pareto":    func(r *rand.Rand) float64 { return 0.01 / math.Pow(1-r.Float64(), 0.5) },
		"two modes": func(r *rand.Rand) float64 {
			if r.Float64() < 0.05 {
				return 1 + 0.01*r.NormFloat64()
			}
			return 0.01 + 0.001*r.ExpFloat64()
		},
		"constant": func(*rand.Rand) float64 { return 0.0731 },
	}
	for name, draw := range distributions {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				rng := rand.New(rand.NewPCG(seed, 0))
				const begun, ended = 40, 80 // ticks: a window of 10 s
				perTick := 10 + rng.IntN(40)
				o := &observed{counts: map[int64]int64{}}
				var all []record.Scrape
				var exact []float64
				for n := range ended + 1 {
					sc := scrape("k6", n)
					if n == 0 {
						sc.New = []record.Series{series(1, "d_seconds", "histogram")}
					}
					for range perTick {
						v := draw(rng)
						if n > begun {
							v *= 3 // the fault
						}
						o.observe(v)
						if n > begun+1 { // PromQL counts from the first sample in the window on
							exact = append(exact, v)
						}
					}
					sc.H = []record.HistValue{o.value(1)}
					all = append(all, sc)
				}
				slices.Sort(exact)
				s := load(t, all...)
				for _, q := range []float64{0.5, 0.9, 0.95, 0.99} {
					want := exact[int(math.Ceil(q*float64(len(exact))))-1]
					got := one(t, s, fmt.Sprintf("histogram_quantile(%g, sum(rate(d_seconds[$window])))", q), 10*time.Second, at(ended))
					assert.InEpsilon(t, want, got, 0.02, "p%g of %d events, seed %d", q*100, len(exact), seed)
				}
			}
		})
	}
}

// counter is a process that counts in two shards. The second is not exposed
// before its first event.
type counter struct {
	chance  *rand.Rand
	started int // which of its lives this is
	shards  [2]int
	exposed [2]bool
	ever    [2]bool // introduced to the record
	counted int     // in all lives
}

// scrape lets the process count and looks at it.
func (c *counter) scrape(n int, second bool) record.Scrape {
	sc := scrape("a", n)
	if n == 0 {
		sc.New = []record.Series{series(9, "process_start_time_seconds", "gauge")}
	}
	sc.V = []record.Value{{ID: 9, V: record.Float(c.started)}}
	for i := range c.shards {
		if i == 1 && !second {
			continue
		}
		more := c.chance.IntN(4)
		c.shards[i], c.counted = c.shards[i]+more, c.counted+more
		if c.exposed[i] = c.exposed[i] || more > 0; !c.exposed[i] {
			continue
		}
		if !c.ever[i] {
			c.ever[i] = true
			sc.New = append(sc.New, series(uint32(i+1), "x_total", "counter", "shard", fmt.Sprint(i)))
		}
		sc.V = append(sc.V, record.Value{ID: uint32(i + 1), V: record.Float(c.shards[i])})
	}
	return sc
}

// restart begins at zero, and may count more than before until it is looked at.
func (c *counter) restart() {
	c.started++
	for i := range c.shards {
		c.shards[i] = 0
		if c.exposed[i] {
			c.shards[i] = c.chance.IntN(400)
		}
		c.counted += c.shards[i]
	}
}

// Increases are exact: of counters that are first seen in the window, whose
// process dies and comes back, over windows that begin and end anywhere.
func TestIncreasesAreExact(t *testing.T) {
	for seed := range uint64(50) {
		const ticks = 120
		rng := rand.New(rand.NewPCG(seed, 1))
		c := &counter{chance: rng}
		second, died, down := 10+rng.IntN(60), 40+rng.IntN(60), 1+rng.IntN(12)
		var all []record.Scrape
		var counted []int // by each tick
		for n := range ticks {
			switch {
			case n >= died && n < died+down:
				sc := scrape("a", n)
				sc.Up = false
				all = append(all, sc)
			default:
				if n == died+down {
					c.restart()
				}
				all = append(all, c.scrape(n, n >= second))
			}
			counted = append(counted, c.counted)
		}
		s := load(t, all...)
		for range 10 {
			from := 1 + rng.IntN(ticks-20)
			to := from + 10 + rng.IntN(ticks-from-10)
			if !all[from].Up || !all[to].Up {
				continue // nobody looked at the end of such a window
			}
			expr, err := metrics.Increase("sum(x_total)", time.Duration(to-from)*tick)
			require.NoError(t, err)
			assert.InDelta(t, counted[to]-counted[from], one(t, s, expr, time.Second, at(to)), 1e-9,
				"seed %d: ticks %d to %d, second shard at %d, dead from %d for %d", seed, from, to, second, died, down)
		}
	}
}

// A steady counter is steady in slices of two scrapes as well, wherever the
// scrapes fall; counted by those in a slice it would be anything from a half to
// one and a half.
func TestSlicesHaveTheirOwnEvents(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var all []record.Scrape
	for n := range 81 {
		sc := scrape("a", n)
		sc.At += int64(rng.IntN(100)) * int64(time.Millisecond)
		if n == 0 {
			sc.New = []record.Series{series(1, "x_total", "counter")}
		}
		sc.V = []record.Value{{ID: 1, V: record.Float(float64(sc.At-start.UnixNano()) / 1e9 * 80)}}
		all = append(all, sc)
	}
	s := load(t, all...)
	spread := func(expand func(string, time.Duration) (string, error)) float64 {
		expr, err := expand("rate(x_total[$window])", 2*tick)
		require.NoError(t, err)
		found, err := metrics.NewEngine().Range(t.Context(), s, expr, at(8), at(72), 2*tick)
		require.NoError(t, err)
		require.Len(t, found, 1)
		least, most := math.Inf(1), 0.0
		for _, p := range found[0].Points {
			least, most = min(least, p.V), max(most, p.V)
		}
		return most / least
	}
	assert.InDelta(t, 1, spread(metrics.Slice), 0.01)
	assert.Greater(t, spread(metrics.Expand), 1.2, "what is avoided")
}
