package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
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

// BenchmarkMessages compares a message through the NATS pump with one through
// the TCP lanes: to the broker and back, and many at once.
func BenchmarkMessages(b *testing.B) {
	for _, protocol := range []string{"tcp", ProtocolNATS} {
		b.Run(protocol, func(b *testing.B) {
			conn := natsThrough(b, protocol)
			sub, err := conn.SubscribeSync("bench")
			if err != nil {
				b.Fatal(err)
			}
			body := make([]byte, 256)
			b.Run("one", func(b *testing.B) { passMessages(b, conn, sub, body, 1) })
			b.Run("thousand", func(b *testing.B) { passMessages(b, conn, sub, body, 1000) })
		})
	}
}

func natsThrough(b *testing.B, protocol string) *nats.Conn {
	s := NewServer(Options{})
	ctx, cancel := context.WithCancel(context.Background())
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, nl) }()
	b.Cleanup(func() { cancel(); <-served })
	l, err := s.create(Proxy{Name: "p", Upstream: natsServer(b, server.Options{}).Addr().String(), Enabled: true, Protocol: protocol})
	if err != nil {
		b.Fatal(err)
	}
	conn, err := nats.Connect("nats://" + l.config().Listen)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	return conn
}

func passMessages(b *testing.B, conn *nats.Conn, sub *nats.Subscription, body []byte, n int) {
	b.SetBytes(int64(n * len(body)))
	for b.Loop() {
		for range n {
			if err := conn.Publish("bench", body); err != nil {
				b.Fatal(err)
			}
		}
		for range n {
			if _, err := sub.NextMsg(10 * time.Second); err != nil {
				b.Fatal(err)
			}
		}
	}
}
