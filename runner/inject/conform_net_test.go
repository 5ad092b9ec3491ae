package inject

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"time"
)

func init() {
	slow := slower(75 * time.Millisecond)
	late := func(x exchange) bool { return x.took >= 75*time.Millisecond } // too late for its caller, too
	conform(entry{kind: "net-latency", on: "client -> echo", params: map[string]any{"latency": "80ms"}, caller: echo, hit: slow, receipt: answered})
	conform(entry{kind: "net-bandwidth", on: "client -> echo", params: map[string]any{"rate": "70B/s"}, caller: echo, hit: slow, receipt: answered})
	conform(entry{kind: "net-slicer", on: "client -> echo", params: map[string]any{"size": "1B", "delay": "17ms"}, caller: echo, hit: slow, receipt: answered})
	conform(entry{kind: "net-limit", on: "client -> echo", params: map[string]any{"bytes": "0B"}, caller: echo, hit: failed, receipt: connections})
	conform(entry{kind: "net-slow-close", on: "client -> echo", params: map[string]any{"delay": "80ms"}, caller: leaver, hit: late, receipt: uses})
	conform(entry{kind: "net-slow-accept", on: "client -> echo", params: map[string]any{"delay": "80ms"}, caller: leaver, hit: late, receipt: uses})
	conform(entry{kind: "net-down", on: "client -> echo", caller: echo, hit: failed, receipt: refusals})
	// It begins down; that it comes up by itself is the proxy's to test.
	conform(entry{kind: "net-flap", on: "client -> echo", params: map[string]any{"down": "1h", "up": "1h"}, caller: echo, hit: failed, receipt: callers})
	conform(entry{kind: "net-reset", on: "client -> echo", caller: echo, hit: failed, receipt: connections})
	conform(entry{kind: "net-timeout", on: "client -> echo", caller: echo, hit: silence, receipt: connections})
	conform(entry{kind: "tls-expired", on: "client -> vault", caller: vault, hit: failed, receipt: distrusted})
	conform(entry{kind: "tls-untrusted", on: "client -> vault", caller: vault, hit: failed, receipt: distrusted})
}

// leaveCaller takes a new connection for each use, says it is done, and waits
// for the other side to be.
type leaveCaller struct{ socket }

func leaver(l *lab) caller { return &leaveCaller{socket{addr: l.env.ClientEnv()["ECHO"]}} }

func (c *leaveCaller) use() exchange {
	x := c.do(func(x *exchange) error {
		_, err := io.WriteString(c.conn, "hello\n")
		if err == nil {
			err = c.conn.(*net.TCPConn).CloseWrite()
		}
		if err != nil {
			return err
		}
		body, err := io.ReadAll(c.in)
		x.body = string(body)
		return err
	})
	c.close()
	return x
}

// vaultCaller asks a service that speaks TLS, and checks its certificate.
type vaultCaller struct {
	socket
	trust *tls.Config
	safe  *tls.Conn // over socket.conn
	in    *bufio.Reader
}

func vault(l *lab) caller {
	known := httptest.NewTLSServer(nil) // all of them have the same certificate
	defer known.Close()
	pool := x509.NewCertPool()
	pool.AddCert(known.Certificate())
	// Handshakes take a busy machine a while, and none of its faults is silence.
	return &vaultCaller{socket: socket{addr: l.env.ClientEnv()["VAULT"], patience: 5 * time.Second}, trust: &tls.Config{RootCAs: pool, ServerName: "example.com"}}
}

func (c *vaultCaller) use() exchange {
	return c.do(func(x *exchange) error {
		if c.safe == nil || c.safe.NetConn() != c.conn {
			c.safe = tls.Client(c.conn, c.trust)
			c.in = bufio.NewReader(c.safe)
		}
		if _, err := io.WriteString(c.safe, "GET / HTTP/1.1\r\nHost: vault\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(c.in, nil)
		if err != nil {
			return err
		}
		x.status = resp.StatusCode
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
}

// distrusted counts the handshakes that ended at the certificate.
func distrusted(seen []use) (n uint64) {
	for _, u := range seen {
		var bad *tls.CertificateVerificationError
		if errors.As(u.err, &bad) {
			n++
		}
	}
	return n
}

// roleVault is an HTTP service behind TLS.
func roleVault(args []string) error {
	in, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "safe") }))
	_ = s.Listener.Close()
	s.Listener = in
	s.StartTLS()
	select {} // until it is killed
}
