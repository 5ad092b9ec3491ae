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
		First   bool   `json:"first,omitempty"`
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

// Buckets are Prometheus' exponential ones of schema 6: bounds 2^(i/64), so a
// quantile is off by at most 1.1 %. Schema 5 is off by 2.2 % where an event lies
// alone in its bucket, as events in the tail do.
const (
	schema        = 6
	zeroThreshold = 1e-9
)

// aggregate accumulates samples between flushes. It is not safe for concurrent use.
type aggregate struct {
	byTags  map[metrics.TimeSeries]*series // k6's own identity: no string work per sample
	byLabel map[string]*series
	open    map[string]metrics.Sample // operations under way, by id: one per VU
	ops     []operationLine
	lost    uint64 // lines given up since the last take
	taken   time.Time
}

// maxOps bounds the operations between two takes; more are counted as lost.
const maxOps = 1 << 16

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
	return &aggregate{
		byTags: map[metrics.TimeSeries]*series{}, byLabel: map[string]*series{},
		open: map[string]metrics.Sample{},
	}
}

func (a *aggregate) add(s metrics.Sample) {
	id := ""
	if s.Metric.Name == operationCount {
		id = s.Metadata[metaID]
		if s.Metadata[metaOpen] != "" {
			a.open[id] = s
			return
		}
		delete(a.open, id)
	}
	sr, ok := a.byTags[s.TimeSeries]
	if !ok {
		sr = a.series(s.TimeSeries)
		a.byTags[s.TimeSeries] = sr
	}
	if sr == nil {
		return // not kept
	}
	sr.add(s.Value)
	if id == "" {
		return
	}
	if len(a.ops) == maxOps {
		a.lost++
		return
	}
	a.ops = append(a.ops, operationOf(s, id, sr.labels))
}

// closeOpen reports what is still under way when the test ends as unknown.
// How long it would have taken nobody knows, so no duration is observed.
func (a *aggregate) closeOpen(now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(a.open)) {
		s := a.open[id]
		dur := now.Sub(s.Time)
		s.Time, s.Value = now, 1
		s.Metadata = map[string]string{metaID: id, metaFirst: s.Metadata[metaFirst], metaDetail: leftOpen, metaDur: nanoseconds(dur)}
		a.add(s)
	}
}

func operationOf(s metrics.Sample, id string, labels map[string]string) operationLine {
	dur, _ := strconv.ParseInt(s.Metadata[metaDur], 10, 64) // written by us
	return operationLine{
		At: s.Time.UnixNano() - dur, Dur: dur, ID: id, Name: labels["operation"], First: s.Metadata[metaFirst] != "",
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

// bucket is the index whose bounds (2^((i-1)/64), 2^(i/64)] hold v.
func bucket(v float64) int64 {
	return int64(math.Ceil(math.Log2(v) * (1 << schema)))
}

// resolution of the samples' times, as Prometheus has it.
const resolution = time.Millisecond

// take returns lines of what has changed since the last call, of all
// operations, and of what was lost. No two are at the same time: the last may
// come right after a tick.
func (a *aggregate) take(now time.Time) []line {
	if next := a.taken.Add(resolution); now.Before(next) {
		now = next
	}
	a.taken = now
	s := a.scrape(now)
	lines := []line{{Scrape: &s, Dropped: a.lost}}
	for _, op := range a.ops {
		lines = append(lines, line{Op: &op})
	}
	a.ops, a.lost = nil, 0
	return lines
}

func (a *aggregate) scrape(now time.Time) scrape {
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
	return out
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
