package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseRequest(t *testing.T) {
	head := "PUT http://host:1/a/b?q=1 HTTP/1.1\r\nHost: host\r\nX-REQUEST-ID: op\r\nidempotency-key:  k \r\n" +
		"Traceparent: bad\r\nUpgrade: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 12\r\n\r\n"
	got, err := parseRequest([]byte(head))
	require.NoError(t, err)
	assert.Equal(t, request{method: "PUT", path: "/a/b", framing: framing{length: 12}, upgrade: true,
		expectsContinue: true, closes: true, op: "op", key: "k"}, got)
}

func TestParseResponseFraming(t *testing.T) {
	tests := []struct {
		name, head, method string
		want               framing
	}{
		{"length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET", framing{length: 5}},
		{"same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "GET", framing{length: 5}},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET", framing{chunked: true}},
		{"until close", "HTTP/1.0 200\r\n\r\n", "GET", framing{length: -1}},
		{"head", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", framing{}},
		{"no content", "HTTP/1.1 204 No Content\r\n\r\n", "GET", framing{}},
		{"not modified", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "GET", framing{}},
		{"interim", "HTTP/1.1 103 Early Hints\r\n\r\n", "GET", framing{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseResponse([]byte(tt.head), tt.method)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got.framing)
		})
	}
	_, err := parseResponse([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), "GET")
	assert.ErrorIs(t, err, errNotHTTP)
}

func TestHeadIsBounded(t *testing.T) {
	endless := io.MultiReader(strings.NewReader("GET / HTTP/1.1\r\nX: "), neverEnding('a'))
	head, err := readHead(bufio.NewReader(endless), nil, isRequestLine)
	assert.ErrorIs(t, err, errNotHTTP)
	assert.Less(t, len(head), 2*maxHead)
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// FuzzRequestFraming: whatever comes, every byte is accounted for in order, and
// where we frame a request, net/http agrees on where its body ends.
func FuzzRequestFraming(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nGET",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03", "",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), 64)
		head, err := readHead(r, nil, isRequestLine)
		var out bytes.Buffer
		out.Write(head)
		var req request
		if err == nil {
			req, err = parseRequest(head)
		}
		framed := err == nil
		if framed {
			err = copyBody(&out, r, req.framing)
		}
		taken := out.Len()
		rest, _ := io.ReadAll(r)
		out.Write(rest)
		if !bytes.Equal(out.Bytes(), data) {
			t.Fatalf("bytes changed: %q became %q", data, out.Bytes())
		}
		if framed && err == nil {
			sameEnd(t, data, taken)
		}
	})
}

// sameEnd fails when net/http accepts the request but ends it elsewhere.
func sameEnd(t *testing.T, data []byte, taken int) {
	br := bufio.NewReader(bytes.NewReader(data))
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	rest, _ := io.ReadAll(br)
	if end := len(data) - len(rest); end != taken {
		t.Fatalf("request %q: framed to %d, net/http to %d", data, taken, end)
	}
}
