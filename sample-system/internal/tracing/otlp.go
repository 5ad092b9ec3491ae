package tracing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	pb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlp is the HTTP client of the exporter. The SDK has one too, but it links
// gRPC, which nobody here speaks: 10 MB of binary and 5 MB resident in each of
// twenty processes.
type otlp struct {
	url  string
	http *http.Client
}

func newExporter(ctx context.Context, endpoint string) (sdk.SpanExporter, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("want http://host:port")
	}
	return otlptrace.New(ctx, &otlp{
		url:  u.JoinPath("v1/traces").String(),
		http: &http.Client{Timeout: sendTimeout, Transport: &http.Transport{MaxIdleConns: 1}},
	})
}

// Start is part of the exporter's client.
func (o *otlp) Start(context.Context) error { return nil }

// Stop closes the connection.
func (o *otlp) Stop(context.Context) error {
	o.http.CloseIdleConnections()
	return nil
}

// UploadTraces sends one batch, once: the next batch is the next attempt. The
// message is an ExportTraceServiceRequest, which TracesData is on the wire.
func (o *otlp) UploadTraces(ctx context.Context, spans []*pb.ResourceSpans) error {
	b, err := proto.Marshal(&pb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	resp, err := o.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is kept
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("send spans: %s", resp.Status)
	}
	return nil
}
