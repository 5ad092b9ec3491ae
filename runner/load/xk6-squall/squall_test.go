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
	"go.k6.io/k6/metrics"
	"go.k6.io/k6/output"
)

func TestBucketHoldsItsValue(t *testing.T) {
	for _, v := range []float64{1e-6, 0.001, 0.5, 0.999, 1, 1.0001, 2, 3.7, 1024} {
		i := float64(bucket(v))
		assert.LessOrEqual(t, v, math.Exp2(i/32)*(1+1e-12), "upper bound of %g", v)
		assert.Greater(t, v, math.Exp2((i-1)/32)*(1-1e-12), "lower bound of %g", v)
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

	s, _ := f.agg.take(time.Unix(101, 0))
	require.Len(t, s.New, 2)
	assert.Equal(t, "k6_iterations_total", s.New[0].Labels["__name__"])
	assert.Equal(t, "checkout", s.New[1].Labels["name"])
	assert.Equal(t, []value{{ID: s.New[0].ID, V: 5}}, s.V)
	require.Len(t, s.H, 1)
	assert.Equal(t, histValue{ID: s.New[1].ID, Schema: 5, ZeroT: 1e-9, Zero: 1, Count: 2, Sum: 0.1, Pos: [][2]int64{{bucket(0.1), 1}}}, s.H[0])

	s, _ = f.agg.take(time.Unix(102, 0))
	assert.True(t, s.Up)
	assert.Empty(t, s.New, "introduced once")
	assert.Empty(t, s.V, "unchanged values are not said again")

	f.agg.add(f.sample("iterations", metrics.Counter, 1, nil))
	s, _ = f.agg.take(time.Unix(103, 0))
	assert.Equal(t, 6.0, s.V[0].V, "counters are cumulative")
}

func TestOperationsAreLines(t *testing.T) {
	f := newFixture()
	s := f.sample("squall_operations", metrics.Counter, 1, map[string]string{"operation": "checkout", "outcome": "unknown"})
	s.Metadata = map[string]string{metaID: "x-1", metaDetail: "no reply", metaDur: "5"}
	f.agg.add(s)
	_, ops := f.agg.take(time.Unix(101, 0))
	assert.Equal(t, []operationLine{{
		At: s.Time.UnixNano() - 5, Dur: 5, Name: "checkout", ID: "x-1", Outcome: "unknown", Detail: "no reply",
	}}, ops)
	_, ops = f.agg.take(time.Unix(102, 0))
	assert.Empty(t, ops)
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

func TestSlowRunnerDropsAndSaysSo(t *testing.T) {
	o := newOut(nil)
	for range queue + 3 {
		o.offer([]line{{}})
	}
	assert.Equal(t, uint64(3), o.lost)
	<-o.lines
	o.offer([]line{{}})
	assert.Zero(t, o.lost)
	for range queue - 1 {
		<-o.lines
	}
	assert.Equal(t, uint64(3), (<-o.lines)[1].Dropped)
}

func TestOutputArgument(t *testing.T) {
	for _, arg := range []string{"", "fd:", "fd:x", "fd:1", "/tmp/x"} {
		_, err := newOutput(output.Params{ConfigArgument: arg})
		assert.ErrorContains(t, err, "want fd:N", arg)
	}
}
