package trace_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"squall/runner/record"
	"squall/runner/trace"
)

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func export(t *testing.T) []byte {
	t.Helper()
	body, err := proto.Marshal(&collector.ExportTraceServiceRequest{ResourceSpans: []*pb.ResourceSpans{{
		Resource: &resource.Resource{Attributes: []*common.KeyValue{text("service.name", "orders"), text("service.instance.id", "orders-1")}},
		ScopeSpans: []*pb.ScopeSpans{{Spans: []*pb.Span{{
			TraceId: []byte{1, 2}, SpanId: []byte{3}, ParentSpanId: []byte{4}, Name: "POST payments", Kind: pb.Span_SPAN_KIND_CLIENT,
			StartTimeUnixNano: 1000, EndTimeUnixNano: 3000, Status: &pb.Status{Code: pb.Status_STATUS_CODE_ERROR},
			Attributes: []*common.KeyValue{text("peer.service", "payments"), {Key: "n", Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: 503}}}},
			Events:     []*pb.Span_Event{{Name: "retry", Attributes: []*common.KeyValue{text("edge", "orders -> payments")}}},
		}}}},
	}}})
	require.NoError(t, err)
	return body
}

// received starts a receiver, lets send use it, and reads its spans back.
func received(t *testing.T, send func(url string)) []record.TraceSpan {
	t.Helper()
	dir := t.TempDir() + "/run"
	w, err := record.Create(dir, record.Header{Run: "r", Started: time.Now()})
	require.NoError(t, err)
	r, err := trace.Listen("127.0.0.1", w)
	require.NoError(t, err)
	send(r.URL() + "/v1/traces")
	require.NoError(t, r.Close(context.Background()))
	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	run, err := record.Open(dir)
	require.NoError(t, err)
	assert.Empty(t, run.Gaps)
	return run.Spans
}

func post(t *testing.T, url, kind, encoding string, body []byte) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", kind)
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

func TestSpansAreRecorded(t *testing.T) {
	const protobuf = "application/x-protobuf"
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(export(t))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	spans := received(t, func(url string) {
		assert.Equal(t, 200, post(t, url, protobuf, "", export(t)))
		assert.Equal(t, 200, post(t, url, protobuf, "gzip", zipped.Bytes()))
		assert.Equal(t, 400, post(t, url, protobuf, "", []byte("no message")))
		assert.Equal(t, 400, post(t, url, protobuf, "gzip", export(t)))
		assert.Equal(t, 400, post(t, url, "application/json", "", []byte("{}")))
	})
	require.Len(t, spans, 2)
	assert.Equal(t, record.TraceSpan{
		At: 1000, Dur: 2000, Trace: "0102", ID: "03", Parent: "04", Service: "orders", Instance: "orders-1", Name: "POST payments", Kind: "client", Error: true,
		Attrs:  map[string]string{"peer.service": "payments", "n": "503"},
		Events: []record.TraceEvent{{Name: "retry", Attrs: map[string]string{"edge": "orders -> payments"}}},
	}, spans[0])
	assert.Equal(t, spans[0], spans[1])
}
