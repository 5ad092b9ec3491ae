package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// What cannot be framed beyond doubt passes as it is and no rule touches it.
func TestPassThrough(t *testing.T) {
	for name, bytes := range map[string]string{
		"http2 preface":       "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"tls":                 "\x16\x03\x01\x02\x00no newline",
		"other protocol":      "HELO there\r\n",
		"length and chunked":  "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":         "POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
		"length list":         "POST / HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\nabcd",
		"signed length":       "POST / HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd",
		"other coding":        "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0": "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"space before colon":  "POST / HTTP/1.1\r\nContent-Length : 4\r\n\r\nabcd",
		"folded header":       "POST / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
		"bare line feed":      "GET / HTTP/1.1\nHost: x\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, ProtocolHTTP, tcpServer(t, echo), Options{})
			next := r.wire()
			r.put("s", rule(faults.HTTPStatus, faults.Match{}))
			nc := r.dial()
			roundTrip(t, nc, bytes)
			roundTrip(t, nc, "GET / HTTP/1.1\r\n\r\n")
			assert.Zero(t, r.status("s").Receipt.Hits)
			assert.Contains(t, r.status("s").Receipt.Note, "1 live connections cannot be followed")
			nc.CloseWrite()
			_, err := nc.Read(make([]byte, 1))
			assert.ErrorIs(t, err, io.EOF)
			e := next()
			assert.Empty(t, e.Method)
			assert.EqualValues(t, len(bytes)+len("GET / HTTP/1.1\r\n\r\n"), e.In)
		})
	}
}

func TestUpgradePassesThrough(t *testing.T) {
	up := tcpServer(t, func(nc *net.TCPConn) {
		br := bufio.NewReader(nc)
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		io.Copy(nc, br)
		nc.CloseWrite()
	})
	r := newRig(t, ProtocolHTTP, up, Options{})
	next := r.wire()
	nc := r.dial()
	io.WriteString(nc, "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	br := bufio.NewReader(nc)
	resp, err := http.ReadResponse(br, nil)
	require.NoError(t, err)
	assert.Equal(t, 101, resp.StatusCode)
	assert.Equal(t, 101, next().Status)
	for _, msg := range []string{"\x00binary", "GET / HTTP/1.1\r\n\r\n"} {
		io.WriteString(nc, msg)
		got := make([]byte, len(msg))
		_, err := io.ReadFull(br, got)
		require.NoError(t, err)
		assert.Equal(t, msg, string(got))
	}
}

// Bytes reach the upstream as the caller wrote them.
func TestRequestBytesAreNotTouched(t *testing.T) {
	r := newRig(t, ProtocolHTTP, tcpServer(t, echo), Options{})
	nc := r.dial()
	raw := "POST /a%2Fb?x=%20 HTTP/1.1\r\nhOsT:x\r\nX-Odd:\t value \r\nTransfer-Encoding: chunked\r\n\r\n" +
		"3;ext=1\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n"
	roundTrip(t, nc, raw) // the echo is no reply, so it passes as it is
}
