package reports

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	"squall/runner/record"
)

// The shapes of OTLP/JSON that are needed (opentelemetry-proto, "JSON Protobuf
// Encoding": ids in hex, 64-bit integers as text).
type (
	otlpAttribute struct {
		Key   string            `json:"key"`
		Value map[string]string `json:"value"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpPoint struct {
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Start      string          `json:"startTimeUnixNano,omitempty"`
		Time       string          `json:"timeUnixNano"`
		Double     *float64        `json:"asDouble,omitempty"`
		Count      string          `json:"count,omitempty"`
		Sum        *float64        `json:"sum,omitempty"`
		Scale      *int32          `json:"scale,omitempty"`
		Zero       string          `json:"zeroCount,omitempty"`
		Positive   *otlpBuckets    `json:"positive,omitempty"`
		Negative   *otlpBuckets    `json:"negative,omitempty"`
	}
	otlpBuckets struct {
		Offset int64    `json:"offset"`
		Counts []string `json:"bucketCounts"`
	}
	otlpData struct {
		Points      []otlpPoint `json:"dataPoints"`
		Temporality int         `json:"aggregationTemporality,omitempty"` // 2: cumulative
		Monotonic   bool        `json:"isMonotonic,omitempty"`
	}
	otlpMetric struct {
		Name      string    `json:"name"`
		Gauge     *otlpData `json:"gauge,omitempty"`
		Sum       *otlpData `json:"sum,omitempty"`
		Histogram *otlpData `json:"exponentialHistogram,omitempty"`
	}
	otlpSpan struct {
		Trace      string          `json:"traceId"`
		ID         string          `json:"spanId"`
		Parent     string          `json:"parentSpanId,omitempty"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Status     map[string]int  `json:"status,omitempty"`
	}
)

// ExportOTLP writes a record as OTLP/JSON, one request a line as the
// collector's otlpjsonfile receiver reads it: a line for each metric series, one
// for each span that a service exported, and one for each exchange of a trace
// that the wire saw.
func ExportOTLP(w io.Writer, run *record.Run) error {
	enc := json.NewEncoder(w)
	start := nanos(run.Header.Started.UnixNano())
	for _, s := range samples(run) {
		if len(s.at) == 0 {
			continue
		}
		if err := enc.Encode(s.otlp(start)); err != nil {
			return fmt.Errorf("reports: otlp: %w", err)
		}
	}
	for _, s := range run.Spans {
		if err := enc.Encode(spanRequest(s.Service, s.Instance, spanOf(s))); err != nil {
			return fmt.Errorf("reports: otlp: %w", err)
		}
	}
	for _, x := range run.Exchanges {
		if len(x.Trace) != 32 {
			continue
		}
		if err := enc.Encode(spanRequest("squall", x.Edge, exchangeSpan(x))); err != nil {
			return fmt.Errorf("reports: otlp: %w", err)
		}
	}
	return nil
}

func nanos(n int64) string { return strconv.FormatInt(n, 10) }

func attributes(l map[string]string) (out []otlpAttribute) {
	for _, k := range slices.Sorted(maps.Keys(l)) {
		if k != "__name__" && k != "job" && k != "instance" && l[k] != "" {
			out = append(out, otlpAttribute{k, map[string]string{"stringValue": l[k]}})
		}
	}
	return out
}

func resource(service, instance string) otlpResource {
	return otlpResource{[]otlpAttribute{
		{"service.name", map[string]string{"stringValue": service}}, {"service.instance.id", map[string]string{"stringValue": instance}},
	}}
}

func (s *sampled) otlp(start string) any {
	m := otlpMetric{Name: s.name}
	data := &otlpData{}
	for i, at := range s.at {
		p := otlpPoint{Attributes: attributes(s.Labels), Time: nanos(at)}
		if s.Type != "histogram" {
			if v := s.values[i]; !math.IsNaN(v) && !math.IsInf(v, 0) { // JSON has no number for them
				p.Double = &v
				data.Points = append(data.Points, p)
			}
			continue
		}
		h := s.hists[i]
		sum, scale := float64(h.Sum), h.Schema
		p.Start, p.Count, p.Sum, p.Scale, p.Zero = start, strconv.FormatUint(h.Count, 10), &sum, &scale, strconv.FormatUint(h.Zero, 10)
		p.Positive, p.Negative = otlpBucketsOf(h.Pos), otlpBucketsOf(h.Neg)
		data.Points = append(data.Points, p)
	}
	switch s.Type {
	case "histogram":
		data.Temporality, m.Histogram = 2, data
	case "counter":
		data.Temporality, data.Monotonic, m.Sum = 2, true, data
		for i := range data.Points {
			data.Points[i].Start = start
		}
	default:
		m.Gauge = data
	}
	return map[string]any{"resourceMetrics": []any{map[string]any{
		"resource":     resource(s.Labels["job"], s.Labels["instance"]),
		"scopeMetrics": []any{map[string]any{"scope": map[string]string{"name": "squall"}, "metrics": []otlpMetric{m}}},
	}}}
}

// otlpBucketsOf fills the gaps that the record leaves. Prometheus numbers a
// bucket by its upper end, OTLP by its lower one.
func otlpBucketsOf(bs []record.Bucket) *otlpBuckets {
	if len(bs) == 0 {
		return nil
	}
	out := &otlpBuckets{Offset: bs[0][0] - 1}
	for _, b := range bs {
		for out.Offset+int64(len(out.Counts)) < b[0]-1 {
			out.Counts = append(out.Counts, "0")
		}
		out.Counts = append(out.Counts, nanos(b[1]))
	}
	return out
}

// spanKinds are the numbers of OTLP.
var spanKinds = map[string]int{"internal": 1, "server": 2, "client": 3, "producer": 4, "consumer": 5}

func spanOf(s record.TraceSpan) otlpSpan {
	out := otlpSpan{Trace: s.Trace, ID: s.ID, Parent: s.Parent, Name: s.Name, Kind: max(1, spanKinds[s.Kind]),
		Start: nanos(s.At), End: nanos(s.At + s.Dur), Attributes: attributes(s.Attrs)}
	if s.Error {
		out.Status = map[string]int{"code": 2}
	}
	return out
}

// exchangeSpan is a call as the link proxy saw it. Its id follows from its place.
func exchangeSpan(x record.Exchange) otlpSpan {
	id := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%d", x.Edge, x.Conn, x.N))
	attrs := map[string]string{"squall.edge": x.Edge, "squall.operation": x.Op, "squall.fault": x.Fault, "error.type": x.Error, "http.request.method": x.Method, "url.path": x.Path}
	if x.Status != 0 {
		attrs["http.response.status_code"] = strconv.Itoa(x.Status)
	}
	out := otlpSpan{Trace: x.Trace, ID: hex.EncodeToString(id[:8]), Name: x.Method + " " + x.Path, Kind: spanKinds["client"], Start: nanos(x.At), End: nanos(x.At + x.Dur), Attributes: attributes(attrs)}
	if x.Error != "" || x.Status >= 500 || x.Status == 0 {
		out.Status = map[string]int{"code": 2}
	}
	return out
}

func spanRequest(service, instance string, s otlpSpan) any {
	return map[string]any{"resourceSpans": []any{map[string]any{
		"resource":   resource(service, instance),
		"scopeSpans": []any{map[string]any{"scope": map[string]string{"name": "squall"}, "spans": []otlpSpan{s}}},
	}}}
}
