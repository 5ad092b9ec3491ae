package proxy

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// A line knows no clock: its tests bring their own.
var epoch = time.Unix(1000, 0)

func at(ms float64) time.Time { return epoch.Add(millis(ms).duration()) }

// testToxic is a toxic on its own stage.
func testToxic(t *testing.T, id, kind, attributes string) *toxic {
	t.Helper()
	st, err := newStage(id, faults.Stage{Seed: 7, Toxics: []faults.Toxic{
		{Type: kind, Toxicity: 1, Attributes: json.RawMessage(attributes)},
	}}, "tcp")
	require.NoError(t, err)
	st.tally = newTally(st.Stage)
	return st.toxics[0]
}

func newLine(toxics ...*toxic) *line {
	l := new(line)
	l.adapt(toxics, 1, epoch)
	return l
}

// arrival is what came out of a line, and when.
type arrival struct {
	ms   float64
	text string
	end  error
}

// until takes out all that is due by ms, each at its time.
func (l *line) until(ms float64) (got []arrival) {
	for now := epoch; ; {
		p, ok := l.next(now)
		if ok {
			got = append(got, arrival{float64(now.Sub(epoch)) / 1e6, string(p.data), p.end})
			continue
		}
		if now = l.wake(); now.IsZero() || now.After(at(ms)) {
			return got
		}
	}
}

func text(s string) piece { return piece{data: []byte(s)} }

func TestToxicsOnALine(t *testing.T) {
	tests := []struct {
		name, kind, attributes string
		want                   []arrival
	}{
		{"latency", "latency", `{"latency":30}`, []arrival{{30, "hello", nil}, {40, "world", nil}, {50, "", io.EOF}}},
		{"below a millisecond", "latency", `{"latency":0.25}`, []arrival{{0.25, "hello", nil}, {10.25, "world", nil}, {20.25, "", io.EOF}}},
		{"bandwidth", "bandwidth", `{"rate":0.2}`, []arrival{{25, "hello", nil}, {50, "world", nil}, {50, "", io.EOF}}},
		{"a trickle", "bandwidth", `{"rate":0.03}`, []arrival{{100, "hel", nil}, {166.666666, "lo", nil}, {266.666666, "wor", nil}, {333.333332, "ld", nil}, {333.333332, "", io.EOF}}},
		{"no limit", "bandwidth", `{}`, []arrival{{0, "hello", nil}, {10, "world", nil}, {20, "", io.EOF}}},
		{"slicer", "slicer", `{"average_size":3,"delay":4000}`, []arrival{{0, "hel", nil}, {4, "lo", nil}, {10, "wor", nil}, {14, "ld", nil}, {20, "", io.EOF}}},
		{"limit", "limit_data", `{"bytes":7}`, []arrival{{0, "hello", nil}, {10, "wo", nil}, {10, "", errCut}}},
		{"limit at the end of a piece", "limit_data", `{"bytes":5}`, []arrival{{0, "hello", nil}, {0, "", errCut}}},
		{"limit not reached", "limit_data", `{"bytes":11}`, []arrival{{0, "hello", nil}, {10, "world", nil}, {20, "", io.EOF}}},
		{"slow close", "slow_close", `{"delay":70}`, []arrival{{0, "hello", nil}, {10, "world", nil}, {90, "", io.EOF}}},
		{"timeout", "timeout", `{"timeout":15}`, []arrival{{15, "", errCut}}},
		{"silence", "timeout", `{}`, []arrival{{20, "", io.EOF}}},
		{"reset", "reset_peer", `{"timeout":15}`, []arrival{{15, "", errReset}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLine(testToxic(t, "x", tt.kind, tt.attributes))
			var got []arrival
			for i, p := range []piece{text("hello"), text("world"), {end: io.EOF}} {
				got = append(got, l.until(float64(10*i))...)
				l.push(p, at(float64(10*i)))
			}
			got = append(got, l.until(1000)...)
			for i := range got {
				got[i].ms = math.Round(got[i].ms*1e6) / 1e6
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestToxicsAddUp(t *testing.T) {
	l := newLine(testToxic(t, "a", "latency", `{"latency":30}`), testToxic(t, "b", "bandwidth", `{"rate":1}`))
	l.push(text("hello"), epoch)
	assert.Equal(t, []arrival{{35, "hello", nil}}, l.until(1000))
	st := l.stations[0].toxic.stage
	assert.EqualValues(t, 5, st.hits.Load())
	assert.Equal(t, 30*time.Millisecond, st.delays.summary().Max, "each stage knows its own share")
	assert.Equal(t, 5*time.Millisecond, l.stations[1].toxic.stage.delays.summary().Max)
}

// However much jitter, nothing overtakes; the same seed delays the same.
func TestJitterKeepsOrder(t *testing.T) {
	run := func() (got []arrival) {
		l := newLine(testToxic(t, "x", "latency", `{"latency":50,"jitter":50}`))
		for i := range 200 {
			got = append(got, l.until(float64(i))...)
			l.push(text(string(rune('A'+i))), at(float64(i)))
		}
		return append(got, l.until(1000)...)
	}
	got := run()
	require.Len(t, got, 200)
	for i, a := range got {
		assert.Equal(t, string(rune('A'+i)), a.text)
		assert.GreaterOrEqual(t, a.ms, float64(i))
	}
	assert.Equal(t, got, run())
}

// The delays of a distribution are compared with what it says of itself, by the
// statistic of Kolmogorov and Smirnov; 1.95/sqrt(n) is exceeded once in 1,000
// times, and the seed is fixed.
func TestDistributions(t *testing.T) {
	const n = 20000
	tests := map[string]struct {
		cdf  func(ms float64) float64 // latency 100, jitter 20
		mean float64
	}{
		"uniform":     {cdf: func(x float64) float64 { return min(max((x-80)/40, 0), 1) }, mean: 100},
		"normal":      {cdf: func(x float64) float64 { return math.Erfc(-(x-100)/20/math.Sqrt2) / 2 }, mean: 100},
		"exponential": {cdf: func(x float64) float64 { return 1 - math.Exp(-max(x-100, 0)/20) }, mean: 120},
		"pareto":      {cdf: func(x float64) float64 { return 1 - math.Pow(1+max(x-100, 0)/40, -3) }, mean: 120},
	}
	require.Len(t, tests, len(spreads))
	for name, tt := range tests {
		l := latencyToxic{Latency: 100, Jitter: 20, Distribution: name}
		dice := newDice(3, name, 1)
		var ms []float64
		sum := 0.0
		for i := range uint64(n) {
			ms = append(ms, float64(l.delay(dice.at(i)))/1e6)
			sum += ms[i]
		}
		slices.Sort(ms)
		worst := 0.0
		for i, x := range ms {
			worst = max(worst, math.Abs(tt.cdf(x)-float64(i)/n), math.Abs(tt.cdf(x)-float64(i+1)/n))
		}
		assert.Less(t, worst, 1.95/math.Sqrt(n), name)
		assert.InDelta(t, tt.mean, sum/n, 1, name)
	}
	early := latencyToxic{Latency: 1, Jitter: 10, Distribution: "normal"}
	assert.Zero(t, early.delay(0), "a delay is never negative")
}

func TestAdapt(t *testing.T) {
	slow := testToxic(t, "slow", "latency", `{"latency":100}`)
	tests := []struct {
		name string
		to   []*toxic
		want []arrival
	}{
		{"removed: at once, in order", nil, []arrival{{0, "a", nil}, {0, "b", nil}}},
		{"updated: as if it had always been so", []*toxic{testToxic(t, "slow", "latency", `{"latency":60}`)}, []arrival{{60, "a", nil}, {80, "b", nil}}},
		{"updated: the past is past", []*toxic{testToxic(t, "slow", "latency", `{"latency":5}`)}, []arrival{{30, "a", nil}, {30, "b", nil}}},
		{"another comes", []*toxic{slow, testToxic(t, "more", "latency", `{"latency":7}`)}, []arrival{{107, "a", nil}, {127, "b", nil}}},
		{"another takes its place", []*toxic{testToxic(t, "more", "latency", `{"latency":7}`)}, []arrival{{0, "a", nil}, {0, "b", nil}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLine(slow)
			l.push(text("a"), epoch)
			l.push(text("b"), at(20))
			l.adapt(tt.to, 1, at(30))
			assert.Equal(t, tt.want, l.until(1000))
		})
	}
}

func TestAdaptEndsAStreamWithAHole(t *testing.T) {
	for _, lost := range []bool{true, false} {
		l := newLine(testToxic(t, "x", "timeout", `{}`))
		if lost {
			l.push(text("gone"), epoch)
		}
		l.adapt(nil, 1, at(1))
		var want []arrival
		if lost {
			want = []arrival{{0, "", errCut}}
		}
		assert.Equal(t, want, l.until(10))
	}
}

// Whatever toxics come and go, bytes come out as they went in, and none waits
// for ever.
func TestAdaptLosesNothing(t *testing.T) {
	kinds := []*toxic{
		testToxic(t, "a", "latency", `{"latency":9,"jitter":9}`), testToxic(t, "a", "latency", `{"latency":2}`),
		testToxic(t, "b", "bandwidth", `{"rate":40}`), testToxic(t, "b", "bandwidth", `{"rate":900}`),
		testToxic(t, "c", "slicer", `{"average_size":40,"size_variation":30,"delay":300}`),
		testToxic(t, "d", "slow_close", `{"delay":5}`), testToxic(t, "e", "latency", `{"latency":1}`),
	}
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		l, now := newLine(), epoch
		var sent, got []byte
		take := func() {
			for p, ok := l.next(now); ok; p, ok = l.next(now) {
				got = append(got, p.data...)
				p.block.release()
			}
		}
		b := newBlock()
		for range 200 {
			now = now.Add(time.Duration(rnd.IntN(3000)) * time.Microsecond)
			if l.room() && rnd.IntN(3) > 0 {
				if b.used > blockSize-2*blockSpare {
					b.release()
					b = newBlock()
				}
				p := b.data[b.used:][:1+rnd.IntN(blockSpare)]
				for i := range p {
					p[i] = byte(rnd.Uint32())
				}
				b.used += len(p)
				b.refs++
				sent = append(sent, p...)
				l.push(piece{data: p, block: b}, now)
			}
			if rnd.IntN(4) == 0 {
				var drawn []*toxic
				for _, i := range rnd.Perm(len(kinds)) { // one that goes and comes again is last
					k := kinds[i]
					if rnd.IntN(2) == 0 && !slices.ContainsFunc(drawn, func(d *toxic) bool { return d.key == k.key }) {
						drawn = append(drawn, k)
					}
				}
				l.adapt(drawn, 1, now)
			}
			take()
		}
		for l.holds() {
			at := l.wake()
			require.False(t, at.IsZero(), "seed %d: it waits for nothing", seed)
			now = later(now, at)
			take()
		}
		require.Equal(t, len(sent), len(got), "seed %d", seed)
		require.True(t, bytes.Equal(sent, got), "seed %d: bytes have changed places", seed)
		assert.Equal(t, 1, b.refs, "seed %d: every piece gave its block back", seed)
	}
}

// A rate is kept over a long time although timers are late: what is due
// together passes together.
func TestBandwidthIsKeptWithCoarseTimers(t *testing.T) {
	for _, rate := range []float64{10, 1000, 100_000} { // kB/s
		attributes, _ := json.Marshal(map[string]float64{"rate": rate})
		l := newLine(testToxic(t, "x", "bandwidth", string(attributes)))
		passed := 0.0
		for ms := 0.0; ms < 2000; ms++ {
			for l.room() {
				l.push(piece{data: make([]byte, 1000)}, at(ms))
			}
			for p, ok := l.next(at(ms)); ok; p, ok = l.next(at(ms)) {
				passed += float64(len(p.data))
			}
		}
		assert.InDelta(t, rate*2000, passed, rate*20+1000, "%v kB/s", rate) // and a piece
	}
}

func TestQueue(t *testing.T) {
	var q queue
	in, out := 0, 0
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		if rnd.IntN(20) < 11 {
			q.push(piece{due: time.Unix(int64(in), 0)})
			in++
		} else if q.len() > 0 {
			require.EqualValues(t, out, q.pop().due.Unix())
			out++
		}
		require.Equal(t, in-out, q.len())
	}
	assert.Less(t, len(q.items), 2*q.len()+2048)
}
