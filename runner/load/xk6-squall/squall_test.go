package squall

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.k6.io/k6/js/modules"
	"go.k6.io/k6/lib"
	"go.k6.io/k6/metrics"
	"go.k6.io/k6/output"
)

func TestBucketHoldsItsValue(t *testing.T) {
	for _, v := range []float64{1e-6, 0.001, 0.5, 0.999, 1, 1.0001, 2, 3.7, 1024} {
		i := float64(bucket(v))
		assert.LessOrEqual(t, v, math.Exp2(i/64)*(1+1e-12), "upper bound of %g", v)
		assert.Greater(t, v, math.Exp2((i-1)/64)*(1-1e-12), "lower bound of %g", v)
	}
}

type fixture struct {
	reg *metrics.Registry
	agg *aggregate
}

func newFixture() fixture { return fixture{metrics.NewRegistry(), newAggregate()} }

func (f fixture) sample(name string, typ metrics.MetricType, v float64, tags map[string]string) metrics.Sample {
	return metrics.Sample{
		TimeSeries: metrics.TimeSeries{Metric: f.reg.MustNewMetric(name, typ), Tags: f.reg.RootTagSet().WithTagsFromMap(tags)},
		Time:       time.Unix(100, 0), Value: v,
	}
}

func TestAggregate(t *testing.T) {
	f := newFixture()
	f.agg.add(f.sample("iterations", metrics.Counter, 2, nil))
	f.agg.add(f.sample("iterations", metrics.Counter, 3, map[string]string{"vu": "7"})) // a tag that is not kept
	f.agg.add(f.sample("http_req_duration", metrics.Trend, 100, map[string]string{"name": "checkout"}))
	f.agg.add(f.sample("http_req_duration", metrics.Trend, 0, map[string]string{"name": "checkout"}))
	f.agg.add(f.sample("data_sent", metrics.Counter, 9, nil)) // a metric that is not kept

	s := f.agg.scrape(time.Unix(101, 0))
	require.Len(t, s.New, 2)
	assert.Equal(t, "k6_iterations_total", s.New[0].Labels["__name__"])
	assert.Equal(t, "checkout", s.New[1].Labels["name"])
	assert.Equal(t, []value{{ID: s.New[0].ID, V: 5}}, s.V)
	require.Len(t, s.H, 1)
	assert.Equal(t, histValue{ID: s.New[1].ID, Schema: 6, ZeroT: 1e-9, Zero: 1, Count: 2, Sum: 0.1, Pos: [][2]int64{{bucket(0.1), 1}}}, s.H[0])

	s = f.agg.scrape(time.Unix(102, 0))
	assert.True(t, s.Up)
	assert.Empty(t, s.New, "introduced once")
	assert.Empty(t, s.V, "unchanged values are not said again")

	f.agg.add(f.sample("iterations", metrics.Counter, 1, nil))
	s = f.agg.scrape(time.Unix(103, 0))
	assert.Equal(t, 6.0, s.V[0].V, "counters are cumulative")
}

func (f fixture) operation(id, outcome string, v float64, metadata map[string]string) metrics.Sample {
	s := f.sample(operationCount, metrics.Counter, v, map[string]string{"operation": "checkout", "outcome": outcome})
	s.Metadata = metadata
	s.Metadata[metaID] = id
	return s
}

func operations(lines []line) (ops []operationLine) {
	for _, l := range lines {
		if l.Op != nil {
			ops = append(ops, *l.Op)
		}
	}
	return ops
}

func TestOperationsAreLines(t *testing.T) {
	f := newFixture()
	s := f.operation("x-1", outcomeUnknown, 1, map[string]string{metaDetail: "no reply", metaDur: "5"})
	f.agg.add(s)
	assert.Equal(t, []operationLine{{
		At: s.Time.UnixNano() - 5, Dur: 5, Name: "checkout", ID: "x-1", Outcome: "unknown", Detail: "no reply",
	}}, operations(f.agg.take(time.Unix(101, 0))))
	assert.Empty(t, operations(f.agg.take(time.Unix(102, 0))))
}

func TestOperationUnderWayAtTheEndIsUnknown(t *testing.T) {
	f := newFixture()
	f.agg.add(f.operation("x-1", outcomeUnknown, 0, map[string]string{metaOpen: "true"}))
	f.agg.add(f.operation("x-2", outcomeUnknown, 0, map[string]string{metaOpen: "true"}))
	f.agg.add(f.operation("x-1", outcomeOK, 1, map[string]string{metaDur: "5"}))
	require.Len(t, operations(f.agg.take(time.Unix(101, 0))), 1, "only what has ended is reported")

	f.agg.closeOpen(time.Unix(103, 0))
	lines := f.agg.take(time.Unix(103, 0))
	assert.Equal(t, []operationLine{{
		At: time.Unix(100, 0).UnixNano(), Dur: (3 * time.Second).Nanoseconds(),
		Name: "checkout", ID: "x-2", Outcome: "unknown", Detail: leftOpen,
	}}, operations(lines))
	require.Len(t, lines[0].Scrape.V, 1)
	assert.Equal(t, 1.0, lines[0].Scrape.V[0].V, "it counts")
	assert.Empty(t, lines[0].Scrape.H, "nobody knows how long it would have taken")
}

func TestTooManyOperationsAreCounted(t *testing.T) {
	f := newFixture()
	s := f.operation("x-1", outcomeOK, 1, map[string]string{metaDur: "5"})
	for range maxOps + 2 {
		f.agg.add(s)
	}
	lines := f.agg.take(time.Unix(101, 0))
	assert.Len(t, operations(lines), maxOps)
	assert.Equal(t, uint64(2), lines[0].Dropped)
	assert.Equal(t, float64(maxOps+2), lines[0].Scrape.V[0].V)
	assert.Zero(t, f.agg.take(time.Unix(102, 0))[0].Dropped, "said once")
}

func TestOperationIDs(t *testing.T) {
	assert.Equal(t, operationID("7", 1, 2), operationID("7", 1, 2))
	assert.NotEqual(t, operationID("7", 1, 2), operationID("8", 1, 2))
	assert.NotEqual(t, operationID("7", 1, 12), operationID("7", 11, 2))
}

func TestOutputStreamsAndEnds(t *testing.T) {
	f := newFixture()
	r, w := io.Pipe()
	o := newOut(w)
	require.NoError(t, o.Start())
	o.AddMetricSamples([]metrics.SampleContainer{f.sample("iterations", metrics.Counter, 4, nil)})
	stopped := make(chan error, 1)
	go func() { stopped <- o.Stop() }()
	var last float64
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var l line
		require.NoError(t, json.Unmarshal(lines.Bytes(), &l))
		if l.Scrape != nil && len(l.Scrape.V) > 0 {
			last = l.Scrape.V[0].V
		}
	}
	require.NoError(t, <-stopped)
	assert.Equal(t, 4.0, last, "what came before Stop is flushed")
}

func TestGoneRunnerEndsTheLoad(t *testing.T) {
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(errors.New("gone")))
	o := newOut(w)
	aborted := make(chan error, 1)
	o.SetTestRunStopCallback(func(err error) { aborted <- err })
	require.NoError(t, o.Start())
	assert.ErrorContains(t, <-aborted, "the runner is gone")
	require.NoError(t, o.Stop())
}

// What could not be said while the runner did not read is made up for in the
// next lines, or in the last.
func TestSlowRunnerDropsAndSaysSo(t *testing.T) {
	for name, next := range map[string]func(*out) []line{
		"next": func(o *out) []line {
			for range queue {
				<-o.lines
			}
			o.flush()
			return <-o.lines
		},
		"last": (*out).last,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture()
			o := newOut(nil)
			for range queue {
				o.flush()
			}
			o.AddMetricSamples([]metrics.SampleContainer{f.sample("iterations", metrics.Counter, 4, nil)})
			for range 3 {
				o.flush()
			}
			lines := next(o)
			assert.Equal(t, uint64(3), lines[0].Dropped)
			assert.Len(t, lines[0].Scrape.New, 1, "a series is introduced before its values")
			assert.Equal(t, 4.0, lines[0].Scrape.V[0].V)
		})
	}
}

func TestOutputArgument(t *testing.T) {
	for _, arg := range []string{"", "fd:", "fd:x", "fd:1", "/tmp/x"} {
		_, err := newOutput(output.Params{ConfigArgument: arg})
		assert.ErrorContains(t, err, "want fd:N", arg)
	}
}

// vu is a virtual user of whom only the state is asked for.
type vu struct {
	modules.VU
	state *lib.State
}

func (v vu) State() *lib.State { return v.state }

// An iteration is counted by what it begins with, however many operations follow.
func TestFirstOperationOfAnIteration(t *testing.T) {
	samples := make(chan metrics.SampleContainer, 100)
	state := &lib.State{Samples: samples, Tags: lib.NewVUStateTags(metrics.NewRegistry().RootTagSet())}
	reg := metrics.NewRegistry()
	m := &module{
		vu: vu{state: state}, iteration: -1,
		count: reg.MustNewMetric(operationCount, metrics.Counter), duration: reg.MustNewMetric("squall_operation_duration", metrics.Trend),
	}
	begin := func(id uint64, iteration int64) *operation {
		state.VUID, state.Iteration = id, iteration
		o, err := m.operation("checkout")
		require.NoError(t, err)
		return o
	}
	begin(0, 0).Ok("setup")
	begin(1, 0).Ok("")
	begin(1, 0).Ok("")
	begin(1, 1) // left open
	begin(1, 2) // cut off by the end
	close(samples)

	agg := newAggregate()
	for s := range samples {
		agg.add(s.(metrics.Sample))
	}
	agg.closeOpen(time.Now())
	var first []bool
	for _, o := range operations(agg.take(time.Now())) {
		first = append(first, o.First)
	}
	assert.Equal(t, []bool{false, true, false, true, true}, first)
}

// The last flush may come right after a tick, and a store takes no two scrapes of one millisecond.
func TestTakesAreApart(t *testing.T) {
	f := newFixture()
	first := time.Unix(100, 999_900)
	for i, now := range []time.Time{first, first, first.Add(50 * time.Microsecond), first.Add(time.Second)} {
		at := f.agg.take(now)[0].Scrape.At
		if i < 3 {
			assert.EqualValues(t, 100_000+i, at/int64(time.Millisecond))
			continue
		}
		assert.Equal(t, now.UnixNano(), at)
	}
}
