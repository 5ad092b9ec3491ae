package squall

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"go.k6.io/k6/metrics"
)

// These are the lines of the runner's record (runner/record/types.go), written
// down again because this module does not import the runner.
type (
	line struct {
		Scrape  *scrape        `json:"scrape,omitempty"`
		Op      *operationLine `json:"op,omitempty"`
		Dropped uint64         `json:"dropped,omitempty"`
	}
	scrape struct {
		At     int64       `json:"at"`
		Source string      `json:"source"`
		Up     bool        `json:"up"`
		New    []newSeries `json:"new,omitempty"`
		V      []value     `json:"v,omitempty"`
		H      []histValue `json:"h,omitempty"`
	}
	newSeries struct {
		ID     uint32            `json:"id"`
		Labels map[string]string `json:"l"`
		Type   string            `json:"type"`
	}
	value struct {
		ID uint32  `json:"id"`
		V  float64 `json:"v"`
	}
	histValue struct {
		ID     uint32     `json:"id"`
		Schema int32      `json:"schema"`
		ZeroT  float64    `json:"zt,omitempty"`
		Zero   uint64     `json:"z,omitempty"`
		Count  uint64     `json:"n"`
		Sum    float64    `json:"sum"`
		Pos    [][2]int64 `json:"pos,omitempty"`
	}
	operationLine struct {
		At      int64  `json:"at"`
		Dur     int64  `json:"dur"`
		Name    string `json:"name"`
		ID      string `json:"id"`
		Outcome string `json:"outcome"`
		Detail  string `json:"detail,omitempty"`
	}
)

// kept names the metrics that are passed on, in Prometheus' units and names.
// Times come from k6 in milliseconds.
var kept = map[string]struct {
	name  string
	scale float64
}{
	"http_req_duration":         {"k6_http_req_duration_seconds", 1e-3},
	"http_reqs":                 {"k6_http_reqs_total", 1},
	"iterations":                {"k6_iterations_total", 1},
	"dropped_iterations":        {"k6_dropped_iterations_total", 1},
	"iteration_duration":        {"k6_iteration_duration_seconds", 1e-3},
	"vus":                       {"k6_vus", 1},
	"squall_operations":         {"squall_operations_total", 1},
	"squall_operation_duration": {"squall_operation_duration_seconds", 1e-3},
}

// labels are the tags that become labels; others would multiply the series.
var labels = []string{"name", "method", "status", "expected_response", "operation", "outcome"}

// Buckets are Prometheus' exponential ones of schema 5: bounds 2^(i/32), so a
// quantile is off by at most 1.1 %.
const (
	schema        = 5
	zeroThreshold = 1e-9
)

// aggregate accumulates samples between flushes. It is not safe for concurrent use.
type aggregate struct {
	byTags  map[metrics.TimeSeries]*series // k6's own identity: no string work per sample
	byLabel map[string]*series
	ops     []operationLine
}

type series struct {
	id      uint32
	labels  map[string]string
	typ     metrics.MetricType
	scale   float64
	said    bool // introduced to the runner
	changed bool

	value float64 // counter, gauge
	zero  uint64
	count uint64
	sum   float64
	pos   map[int64]uint64
}

func newAggregate() *aggregate {
	return &aggregate{byTags: map[metrics.TimeSeries]*series{}, byLabel: map[string]*series{}}
}

func (a *aggregate) add(s metrics.Sample) {
	sr, ok := a.byTags[s.TimeSeries]
	if !ok {
		sr = a.series(s.TimeSeries)
		a.byTags[s.TimeSeries] = sr
	}
	if sr == nil {
		return // not kept
	}
	sr.add(s.Value)
	if id := s.Metadata[metaID]; id != "" && s.Metric.Name == "squall_operations" {
		a.ops = append(a.ops, operationOf(s, id, sr.labels))
	}
}

func operationOf(s metrics.Sample, id string, labels map[string]string) operationLine {
	dur, _ := strconv.ParseInt(s.Metadata[metaDur], 10, 64) // written by us
	return operationLine{
		At: s.Time.UnixNano() - dur, Dur: dur, ID: id, Name: labels["operation"],
		Outcome: labels["outcome"], Detail: s.Metadata[metaDetail],
	}
}

// series finds or makes the series of a k6 time series, nil if it is not kept.
func (a *aggregate) series(ts metrics.TimeSeries) *series {
	k, ok := kept[ts.Metric.Name]
	if !ok {
		return nil
	}
	l := map[string]string{"__name__": k.name, "job": "k6", "instance": "k6"}
	key := k.name
	for _, name := range labels {
		if v, ok := ts.Tags.Get(name); ok && v != "" {
			l[name] = v
			key += "\x00" + name + "\x00" + v
		}
	}
	if sr, ok := a.byLabel[key]; ok {
		return sr
	}
	sr := &series{id: uint32(len(a.byLabel) + 1), labels: l, typ: ts.Metric.Type, scale: k.scale, pos: map[int64]uint64{}}
	a.byLabel[key] = sr
	return sr
}

func (s *series) add(v float64) {
	v *= s.scale
	s.changed = true
	switch s.typ {
	case metrics.Trend:
		s.observe(v)
	case metrics.Gauge:
		s.value = v
	default:
		s.value += v
	}
}

func (s *series) observe(v float64) {
	s.count++
	s.sum += v
	if v <= zeroThreshold {
		s.zero++
		return
	}
	s.pos[bucket(v)]++
}

// bucket is the index whose bounds (2^((i-1)/32), 2^(i/32)] hold v.
func bucket(v float64) int64 {
	return int64(math.Ceil(math.Log2(v) * (1 << schema)))
}

// take returns what has changed since the last call, and all operations.
func (a *aggregate) take(now time.Time) (scrape, []operationLine) {
	out := scrape{At: now.UnixNano(), Source: "k6", Up: true}
	all := slices.SortedFunc(maps.Values(a.byLabel), func(x, y *series) int { return cmp.Compare(x.id, y.id) })
	for _, s := range all {
		if !s.changed {
			continue
		}
		if !s.said {
			out.New = append(out.New, newSeries{ID: s.id, Labels: s.labels, Type: s.kind()})
			s.said = true
		}
		s.changed = false
		if s.typ == metrics.Trend {
			out.H = append(out.H, s.histogram())
		} else {
			out.V = append(out.V, value{ID: s.id, V: s.value})
		}
	}
	ops := a.ops
	a.ops = nil
	return out, ops
}

func (s *series) kind() string {
	switch s.typ {
	case metrics.Trend:
		return "histogram"
	case metrics.Gauge:
		return "gauge"
	default:
		return "counter"
	}
}

func (s *series) histogram() histValue {
	h := histValue{ID: s.id, Schema: schema, ZeroT: zeroThreshold, Zero: s.zero, Count: s.count, Sum: s.sum}
	for _, i := range slices.Sorted(maps.Keys(s.pos)) {
		h.Pos = append(h.Pos, [2]int64{i, int64(s.pos[i])})
	}
	return h
}
