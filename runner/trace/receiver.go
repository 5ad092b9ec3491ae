// Package trace receives the spans that the system under test exports
// (OpenTelemetry, OTLP over HTTP) and writes them to the record.
package trace

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"squall/runner/record"
)

const (
	maxBody  = 16 << 20
	maxSpans = 500_000 // of a run, about 250 MB; what comes after is counted, not kept
)

// Receiver is an OTLP/HTTP receiver on loopback. It writes while the sender
// waits, so it has no queue; exporters have.
type Receiver struct {
	record *record.Writer
	server http.Server
	url    string
	served chan error
	spans  atomic.Int64
}

// Listen starts a receiver on an address of this machine that writes to the
// record until it is closed.
func Listen(host string, w *record.Writer) (*Receiver, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	r := &Receiver{record: w, url: "http://" + listener.Addr().String(), served: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", r.take)
	r.server = http.Server{Handler: mux, ReadTimeout: 10 * time.Second}
	go func() { r.served <- r.server.Serve(listener) }()
	return r, nil
}

// URL is what exporters are told.
func (r *Receiver) URL() string { return r.url }

// Close waits for the exports under way, and ends.
func (r *Receiver) Close(ctx context.Context) error {
	err := r.server.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("trace: %w", err)
		_ = r.server.Close()
	}
	<-r.served
	return err
}

func (r *Receiver) take(w http.ResponseWriter, req *http.Request) {
	body, err := read(w, req)
	var export collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &export)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, s := range spans(&export) {
		if r.spans.Add(1) > maxSpans {
			r.record.Lost(record.Spans, 1)
			continue
		}
		_ = r.record.Put(record.Spans, s) // a failed write is kept by the writer as a gap
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	answer, _ := proto.Marshal(&collector.ExportTraceServiceResponse{})
	_, _ = w.Write(answer) // an exporter that is gone needs none
}

func read(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	if kind := req.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/x-protobuf") {
		return nil, fmt.Errorf("content type %q: only application/x-protobuf is understood", kind)
	}
	var in io.Reader = http.MaxBytesReader(w, req.Body, maxBody)
	if req.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = io.LimitReader(unzipped, maxBody)
	}
	return io.ReadAll(in)
}

func spans(export *collector.ExportTraceServiceRequest) (out []record.TraceSpan) {
	for _, rs := range export.GetResourceSpans() {
		resource := texts(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				one := span(s)
				one.Service, one.Instance = resource["service.name"], resource["service.instance.id"]
				out = append(out, one)
			}
		}
	}
	return out
}

func span(s *pb.Span) record.TraceSpan {
	one := record.TraceSpan{
		At: int64(s.GetStartTimeUnixNano()), Dur: int64(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()),
		Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
		Name: s.GetName(), Kind: strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")),
		Error: s.GetStatus().GetCode() == pb.Status_STATUS_CODE_ERROR, Attrs: texts(s.GetAttributes()),
	}
	for _, e := range s.GetEvents() {
		one.Events = append(one.Events, record.TraceEvent{Name: e.GetName(), Attrs: texts(e.GetAttributes())})
	}
	return one
}

// texts are attributes as text; lists and the like are left out.
func texts(attrs []*common.KeyValue) map[string]string {
	if len(attrs) == 0 {
		return nil
	}
	out := make(map[string]string, len(attrs))
	for _, a := range attrs {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			out[a.GetKey()] = v.StringValue
		case *common.AnyValue_BoolValue:
			out[a.GetKey()] = fmt.Sprint(v.BoolValue)
		case *common.AnyValue_IntValue:
			out[a.GetKey()] = fmt.Sprint(v.IntValue)
		case *common.AnyValue_DoubleValue:
			out[a.GetKey()] = fmt.Sprint(v.DoubleValue)
		}
	}
	return out
}
