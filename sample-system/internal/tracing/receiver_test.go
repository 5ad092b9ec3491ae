package tracing_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// received is a span as it came over the wire.
type received struct {
	Service, Name string
	Kind          pb.Span_SpanKind
	Trace, ID     string
	Parent        string
	Failed        bool
	Attrs         map[string]string
	Events        []string
}

// receiver is an OTLP/HTTP receiver.
type receiver struct {
	*httptest.Server
	refuse bool

	mu    sync.Mutex
	spans []received
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		b, err := io.ReadAll(req.Body)
		var export collector.ExportTraceServiceRequest
		if err != nil || req.URL.Path != "/v1/traces" || proto.Unmarshal(b, &export) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.take(&export)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) take(export *collector.ExportTraceServiceRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range export.GetResourceSpans() {
		service := texts(rs.GetResource().GetAttributes())["service.name"]
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				one := received{
					Service: service, Name: s.GetName(), Kind: s.GetKind(), Failed: s.GetStatus().GetCode() == pb.Status_STATUS_CODE_ERROR,
					Trace: hex.EncodeToString(s.GetTraceId()), ID: hex.EncodeToString(s.GetSpanId()), Parent: hex.EncodeToString(s.GetParentSpanId()),
					Attrs: texts(s.GetAttributes()),
				}
				for _, e := range s.GetEvents() {
					one.Events = append(one.Events, e.GetName())
				}
				r.spans = append(r.spans, one)
			}
		}
	}
}

func texts(attrs []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, a := range attrs {
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[a.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			m[a.GetKey()] = strconv.FormatInt(v.IntValue, 10)
		case *common.AnyValue_ArrayValue:
			m[a.GetKey()] = v.ArrayValue.GetValues()[0].GetStringValue()
		}
	}
	return m
}

// find is the one span of a name.
func (r *receiver) find(t *testing.T, name string) received {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.spans, func(s received) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0, "no span %q among %+v", name, r.spans)
	return r.spans[i]
}
