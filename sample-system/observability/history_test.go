package observability_test

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// history is what Prometheus would have stored of a synthetic shop, from 0 on.
type history struct {
	length time.Duration
	series []promql.Series
}

// scrapeEvery is that of the example configuration; hours are sampled less
// often, for the test to be quick.
func (h *history) scrapeEvery() time.Duration {
	if h.length > time.Hour {
		return 20 * time.Second
	}
	return 5 * time.Second
}

// rate is a value by time: of a gauge, or the increase per second of the others.
type rate func(at time.Duration) float64

func always(v float64) rate { return func(time.Duration) float64 { return v } }

// gauge adds a series, or replaces the one of that name; NaN is no sample.
func (h *history) gauge(name string, value rate) {
	s := promql.Series{Metric: seriesLabels(name)}
	for at := time.Duration(0); at <= h.length; at += h.scrapeEvery() {
		if v := value(at); !math.IsNaN(v) {
			s.Floats = append(s.Floats, promql.FPoint{T: at.Milliseconds(), F: v})
		}
	}
	h.put(s)
}

// counter adds a series that grows at a rate.
func (h *history) counter(name string, perSecond rate) {
	sum := 0.0
	h.gauge(name, func(at time.Duration) float64 {
		sum += perSecond(at) * h.scrapeEvery().Seconds()
		return sum
	})
}

// requests adds a native histogram of requests that take so many seconds and
// come at a rate.
func (h *history) requests(name string, seconds float64, perSecond rate) {
	const schema = 3 // as of a bucket factor of 1.1
	bucket := int32(math.Ceil(math.Log2(seconds) * (1 << schema)))
	s, sum := promql.Series{Metric: seriesLabels(name)}, 0.0
	for at := time.Duration(0); at <= h.length; at += h.scrapeEvery() {
		sum += perSecond(at) * h.scrapeEvery().Seconds()
		s.Histograms = append(s.Histograms, promql.HPoint{T: at.Milliseconds(), H: &histogram.FloatHistogram{
			Schema: schema, Count: sum, Sum: sum * seconds,
			PositiveSpans: []histogram.Span{{Offset: bucket, Length: 1}}, PositiveBuckets: []float64{sum},
		}})
	}
	h.put(s)
}

func (h *history) put(s promql.Series) {
	h.series = slices.DeleteFunc(h.series, func(old promql.Series) bool { return labels.Equal(old.Metric, s.Metric) })
	h.series = append(h.series, s)
}

func seriesLabels(name string) labels.Labels {
	l, err := promql3.ParseMetric(strings.TrimSpace(name))
	if err != nil {
		panic(name + ": " + err.Error()) // a mistake in the test
	}
	return l
}

// queryable is the history as storage.
func (h *history) queryable() storage.Queryable {
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			set := &seriesSet{at: -1}
			for _, s := range h.series {
				if all(matchers, s.Metric) {
					set.series = append(set.series, promql.NewStorageSeries(s))
				}
			}
			return set
		},
	}}
}

func all(matchers []*labels.Matcher, l labels.Labels) bool {
	return !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(l.Get(m.Name)) })
}

// seriesSet is a list as Prometheus iterates it.
type seriesSet struct {
	series []storage.Series
	at     int
}

func (s *seriesSet) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *seriesSet) At() storage.Series                { return s.series[s.at] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }
