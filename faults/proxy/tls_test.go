package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// tlsRig proxies a TLS server that counts its requests; the client trusts it.
func tlsRig(t *testing.T, protocol string) (*rig, *http.Client, *atomic.Int64) {
	t.Helper()
	var served atomic.Int64
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		io.WriteString(w, r.Proto)
	}))
	up.EnableHTTP2 = true
	up.StartTLS()
	t.Cleanup(up.Close)
	r := newRig(t, protocol, strings.TrimPrefix(up.URL, "https://"), Options{})
	pool := x509.NewCertPool()
	pool.AddCert(up.Certificate())
	return r, r.tlsClient(&tls.Config{RootCAs: pool, ServerName: "example.com"}), &served
}

// tlsClient reaches the edge whatever host is asked for.
func (r *rig) tlsClient(config *tls.Config) *http.Client {
	tr := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	r.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func bad(cert faults.TLSCert, reset bool) faults.Stage {
	return faults.Stage{TLS: &faults.TLSAct{Cert: cert, Reset: reset}}
}

func TestBadCertificate(t *testing.T) {
	for _, c := range []struct {
		cert     faults.TLSCert
		protocol string
		check    func(t *testing.T, err error)
	}{
		{faults.TLSExpired, "tcp", func(t *testing.T, err error) {
			var e x509.CertificateInvalidError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, x509.Expired, e.Reason)
			assert.Equal(t, []string{"example.com"}, e.Cert.DNSNames, "made for the name asked for")
		}},
		{faults.TLSUntrusted, ProtocolHTTP, func(t *testing.T, err error) {
			var e x509.UnknownAuthorityError
			require.ErrorAs(t, err, &e)
			assert.Equal(t, []string{"example.com"}, e.Cert.DNSNames, "made for the name asked for")
		}},
	} {
		t.Run(string(c.cert), func(t *testing.T) {
			r, client, served := tlsRig(t, c.protocol)
			status, body := get(client, "https://"+r.addr)
			require.Equal(t, 200, status, body)

			next := r.wire()
			r.put("bad", bad(c.cert, true))
			assert.Equal(t, "reset", next().Error, "the live connection, so that its caller comes again")
			for n := range uint64(3) {
				_, err := client.Get("https://" + r.addr)
				c.check(t, err)
				e := next()
				assert.Equal(t, "caller-left", e.Error)
				assert.Equal(t, "bad", e.Fault)
				got := r.status("bad").Receipt
				assert.Equal(t, n+1, got.Hits)
				assert.Equal(t, "handshakes", got.Unit)
			}
			assert.Equal(t, "3 said bad certificate", r.status("bad").Receipt.Note)
			assert.EqualValues(t, 1, served.Load(), "nothing got through")
			r.remove("bad")
			status, body = get(client, "https://"+r.addr)
			assert.Equal(t, 200, status, body)
		})
	}
}

// A caller that does not check its callee's certificate must not look like one
// that does: it goes on as if nothing had happened.
func TestCallerThatDoesNotCheckGoesOn(t *testing.T) {
	r, _, served := tlsRig(t, "tcp")
	r.put("bad", bad(faults.TLSExpired, true))
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		careless := r.tlsClient(&tls.Config{InsecureSkipVerify: true})
		careless.Transport.(*http.Transport).ForceAttemptHTTP2 = proto == "HTTP/2.0"
		for range 2 {
			status, body := get(careless, "https://"+r.addr)
			assert.Equal(t, 200, status, body)
			assert.Equal(t, proto, body, "the two agree as if they were alone")
		}
	}
	assert.EqualValues(t, 4, served.Load())
	assert.EqualValues(t, 2, r.status("bad").Receipt.Hits, "one handshake for each connection")
	assert.Equal(t, "2 went on regardless", r.status("bad").Receipt.Note)
}

// Other faults act on what passes between the two.
func TestLatencyActsInsideBadTLS(t *testing.T) {
	r, _, _ := tlsRig(t, "tcp")
	r.put("bad", bad(faults.TLSUntrusted, true))
	careless := r.tlsClient(&tls.Config{InsecureSkipVerify: true})
	status, body := get(careless, "https://"+r.addr)
	require.Equal(t, 200, status, body)
	r.put("slow", latency("80"))
	start := time.Now()
	status, body = get(careless, "https://"+r.addr)
	require.Equal(t, 200, status, body)
	assert.GreaterOrEqual(t, time.Since(start), 80*time.Millisecond)
	assert.Positive(t, r.status("slow").Receipt.Hits)
}

func TestLiveConnectionsMayBeKept(t *testing.T) {
	r, client, _ := tlsRig(t, "tcp")
	status, body := get(client, "https://"+r.addr)
	require.Equal(t, 200, status, body)
	r.put("bad", bad(faults.TLSExpired, false))
	status, body = get(client, "https://"+r.addr)
	assert.Equal(t, 200, status, body)
	assert.Zero(t, r.status("bad").Receipt.Hits)
	client.CloseIdleConnections()
	_, err := client.Get("https://" + r.addr)
	assert.Error(t, err)
	assert.EqualValues(t, 1, r.status("bad").Receipt.Hits)
}

// A certificate for whom was dialled, where no name was asked for.
func TestCertificateForAnAddress(t *testing.T) {
	r, _, _ := tlsRig(t, "tcp")
	r.put("bad", bad(faults.TLSUntrusted, false))
	nc, err := tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer nc.Close()
	assert.NoError(t, nc.ConnectionState().PeerCertificates[0].VerifyHostname("127.0.0.1"))
}

func TestWhatSpeaksNoTLSPasses(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	r.put("bad", bad(faults.TLSExpired, true))
	roundTrip(t, r.dial(), "plain words")
	assert.Zero(t, r.status("bad").Receipt.Hits)
}

// A dead upstream is a dead upstream, whatever its certificate.
func TestBadCertificateOfADeadUpstream(t *testing.T) {
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	dead := nl.Addr().String()
	nl.Close()
	r := newRig(t, "tcp", dead, Options{})
	next := r.wire()
	r.put("bad", bad(faults.TLSExpired, true))
	_, err = tls.Dial("tcp", r.addr, &tls.Config{InsecureSkipVerify: true})
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	assert.Equal(t, "refused", next().Error)
	assert.Zero(t, r.status("bad").Receipt.Hits)
}
