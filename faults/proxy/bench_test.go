package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkHTTP compares one keep-alive request through the HTTP pump with one
// through the TCP lanes and one without a proxy.
func BenchmarkHTTP(b *testing.B) {
	up := httptest.NewServer(http.HandlerFunc(okHandler))
	defer up.Close()
	upstream := strings.TrimPrefix(up.URL, "http://")
	b.Run("direct", func(b *testing.B) { requests(b, upstream) })
	for _, protocol := range []string{"tcp", ProtocolHTTP} {
		b.Run(protocol, func(b *testing.B) {
			ctx, cancel := context.WithCancel(context.Background())
			nl, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := NewServer(Options{})
			served := make(chan error, 1)
			go func() { served <- s.Serve(ctx, nl) }()
			defer func() { cancel(); <-served }()
			l, err := s.create(Proxy{Name: "p", Upstream: upstream, Enabled: true, Protocol: protocol})
			if err != nil {
				b.Fatal(err)
			}
			requests(b, l.config().Listen)
		})
	}
}

func requests(b *testing.B, addr string) {
	b.ReportAllocs()
	tr := &http.Transport{MaxIdleConnsPerHost: 16}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr}
	for b.Loop() {
		resp, err := c.Get("http://" + addr + "/x")
		if err != nil {
			b.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
