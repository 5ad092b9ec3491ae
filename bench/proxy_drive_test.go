package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	callers  = 16
	driveFor = 300 * time.Millisecond
	bulkBody = 64 << 20
)

// The requests that the server of an arm knows, and their replies. Both ends
// are as cheap as they can be, so that the proxy is what is measured.
var (
	getSmall = []byte("GET /small HTTP/1.1\r\nHost: b\r\n\r\n")
	getClose = []byte("GET /close HTTP/1.1\r\nHost: b\r\n\r\n")
	getBulk  = []byte("GET /bulk HTTP/1.1\r\nHost: b\r\n\r\n")

	small     = []byte("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nforty bytes of body, more or less, of it")
	closing   = []byte("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
	bulkHead  = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", bulkBody)
	bulkBlock = make([]byte, 256<<10)
)

// serve is the server of one arm; it ends with the benchmark.
func serve(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go answer(nc)
		}
	}()
	return l.Addr().String()
}

// answer serves one connection; requests come one at a time.
func answer(nc net.Conn) {
	defer nc.Close()
	buf := make([]byte, 256)
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		switch {
		case bytes.HasPrefix(buf[:n], getSmall[:6]):
			_, err = nc.Write(small)
		case bytes.HasPrefix(buf[:n], getBulk[:6]):
			_, err = nc.Write(bulkHead)
			for sent := 0; sent < bulkBody && err == nil; sent += len(bulkBlock) {
				_, err = nc.Write(bulkBlock)
			}
		default:
			nc.Write(closing)
			return
		}
		if err != nil {
			return
		}
	}
}

// bulk downloads over n connections for a while and returns gigabytes.
func bulk(b *testing.B, addr string, n int) float64 {
	var bytes atomic.Int64
	together(b, n, func(until time.Time) error {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer nc.Close()
		buf := make([]byte, 256<<10)
		for time.Now().Before(until) {
			if _, err := nc.Write(getBulk); err != nil {
				return err
			}
			for left := len(bulkHead) + bulkBody; left > 0; {
				n, err := nc.Read(buf[:min(left, len(buf))])
				if err != nil {
					return err
				}
				left -= n
			}
			bytes.Add(bulkBody)
		}
		return nil
	})
	return float64(bytes.Load()) / 1e9
}

// connections makes one request on each of many connections.
func connections(b *testing.B, addr string) float64 {
	var done atomic.Int64
	together(b, callers, func(until time.Time) error {
		buf := make([]byte, 256)
		for time.Now().Before(until) {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				return err
			}
			nc.Write(getClose)
			got := 0
			for err == nil {
				var n int
				n, err = nc.Read(buf)
				got += n
			}
			nc.Close()
			if err != io.EOF || got != len(closing) {
				return fmt.Errorf("%d bytes of %d, then %w", got, len(closing), err)
			}
			done.Add(1)
		}
		return nil
	})
	return float64(done.Load())
}

// requests makes many requests on few connections.
func requests(b *testing.B, addr string) float64 {
	var done atomic.Int64
	together(b, callers, func(until time.Time) error {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer nc.Close()
		for time.Now().Before(until) {
			if err := exchange(nc); err != nil {
				return err
			}
			done.Add(1)
		}
		return nil
	})
	return float64(done.Load())
}

func exchange(nc net.Conn) error {
	if _, err := nc.Write(getSmall); err != nil {
		return err
	}
	var buf [256]byte
	_, err := io.ReadFull(nc, buf[:len(small)])
	return err
}

// together runs f on n goroutines for a while.
func together(b *testing.B, n int, f func(until time.Time) error) {
	until := time.Now().Add(driveFor)
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() { errs <- f(until) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(b, err)
	}
}

// openIdle opens connections that have each made one request.
func openIdle(b *testing.B, addr string, n int) (conns []net.Conn) {
	for range n {
		nc, err := net.Dial("tcp", addr)
		require.NoError(b, err)
		require.NoError(b, exchange(nc))
		conns = append(conns, nc)
	}
	return conns
}
