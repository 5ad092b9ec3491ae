package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// maxHead bounds a message head. What is longer passes as plain TCP.
const maxHead = 256 << 10

var oldVersion = []byte("HTTP/1.0")

// errNotHTTP says that bytes cannot be framed beyond doubt as HTTP/1.
var errNotHTTP = errors.New("not unambiguous HTTP/1")

// framing says where a message's body ends.
type framing struct {
	length  int64 // of the body; -1: until the connection ends
	chunked bool
}

// request is what the pump needs of a request head.
type request struct {
	method, path    string
	framing         framing
	upgrade         bool // Upgrade, or CONNECT: HTTP may end here
	expectsContinue bool
	closes          bool // the caller expects the connection to end after the reply
	op, key, trace  string
}

// response is what the pump needs of a response head.
type response struct {
	status  int
	framing framing
}

// readHead appends one message head, up to and with its empty line, to head.
// With errNotHTTP or a read error, head holds what was taken so far. accept
// checks the first line, so that what is no HTTP is not waited for.
func readHead(r *bufio.Reader, head []byte, accept func(line []byte) bool) ([]byte, error) {
	first, err := r.Peek(1)
	if err != nil {
		return head, err
	}
	if !isUpper(first[0]) {
		return head, errNotHTTP
	}
	for start := 0; ; {
		part, err := r.ReadSlice('\n')
		head = append(head, part...)
		switch {
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return head, err
		case len(head) > maxHead:
			return head, errNotHTTP
		case err != nil:
			continue
		}
		line := head[start:]
		switch {
		case len(line) < 2 || line[len(line)-2] != '\r':
			return head, errNotHTTP
		case start == 0 && !accept(line[:len(line)-2]):
			return head, errNotHTTP
		case len(line) == 2:
			return head, nil
		}
		start = len(head)
	}
}

func isUpper(b byte) bool { return 'A' <= b && b <= 'Z' }

func isRequestLine(line []byte) bool {
	_, _, ok := splitRequestLine(line)
	return ok
}

func splitRequestLine(line []byte) (method, target string, ok bool) {
	parts := strings.Split(string(line), " ")
	if len(parts) != 3 || parts[1] == "" || !isToken(parts[0]) {
		return "", "", false
	}
	return parts[0], parts[1], parts[2] == "HTTP/1.1" || parts[2] == "HTTP/1.0"
}

func isStatusLine(line []byte) bool {
	_, ok := statusOf(line)
	return ok
}

func statusOf(line []byte) (int, bool) {
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) && !bytes.HasPrefix(line, []byte("HTTP/1.0 ")) {
		return 0, false
	}
	code, _, _ := bytes.Cut(line[9:], []byte(" "))
	status, err := strconv.ParseUint(string(code), 10, 16)
	return int(status), err == nil && len(code) == 3 && status >= 100
}

// isToken follows RFC 9110's grammar of a token.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c >= 0x7f || c <= ' ' || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// parseRequest reads a head that readHead accepted.
func parseRequest(head []byte) (request, error) {
	line, fields := cutLine(head)
	method, target, ok := splitRequestLine(line)
	if !ok {
		return request{}, errNotHTTP
	}
	r := request{method: method, path: pathOf(target), upgrade: method == "CONNECT"}
	r.closes = bytes.HasSuffix(line, oldVersion)
	body := bodyFields{old: r.closes}
	err := eachField(fields, func(name, value []byte) error {
		switch {
		case is(name, "Upgrade"):
			r.upgrade = true
		case is(name, "Connection"):
			r.closes = r.closes || is(value, "close")
		case is(name, "Expect"):
			r.expectsContinue = true
		case is(name, "X-Request-Id"):
			r.op = string(value)
		case is(name, "Idempotency-Key"):
			r.key = string(value)
		case is(name, "Traceparent"):
			r.trace = traceID(string(value))
		default:
			return body.field(name, value)
		}
		return nil
	})
	if err != nil {
		return request{}, err
	}
	r.framing, err = body.framing(0)
	return r, err
}

// parseResponse reads the head of a reply to a request of that method.
func parseResponse(head []byte, method string) (response, error) {
	line, fields := cutLine(head)
	status, ok := statusOf(line)
	if !ok {
		return response{}, errNotHTTP
	}
	r := response{status: status}
	body := bodyFields{old: bytes.HasPrefix(line, oldVersion)}
	if err := eachField(fields, body.field); err != nil {
		return r, err
	}
	if method == "HEAD" || status < 200 || status == 204 || status == 304 {
		return r, nil
	}
	var err error
	r.framing, err = body.framing(-1)
	return r, err
}

func cutLine(head []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(head, []byte("\r\n"))
	return line, rest
}

// eachField calls f for every header field up to the empty line.
func eachField(fields []byte, f func(name, value []byte) error) error {
	for {
		line, rest := cutLine(fields)
		if len(line) == 0 {
			return nil
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !isToken(string(name)) { // also folded lines and space before the colon
			return fmt.Errorf("%w: malformed header field %q", errNotHTTP, line)
		}
		if err := f(name, bytes.Trim(value, " \t")); err != nil {
			return err
		}
		fields = rest
	}
}

func is(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

// bodyFields collects the fields that frame a body. Anything two parsers might
// read differently is an error: that is how requests are smuggled.
type bodyFields struct {
	old     bool // HTTP/1.0, where some parsers ignore Transfer-Encoding
	length  int64
	hasLen  bool
	chunked bool
}

func (b *bodyFields) field(name, value []byte) error {
	switch {
	case is(name, "Content-Length"):
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || b.hasLen && int64(n) != b.length {
			return fmt.Errorf("%w: content-length %q", errNotHTTP, value)
		}
		b.length, b.hasLen = int64(n), true
	case is(name, "Transfer-Encoding"):
		if b.old || b.chunked || !strings.EqualFold(string(value), "chunked") {
			return fmt.Errorf("%w: transfer-encoding %q", errNotHTTP, value)
		}
		b.chunked = true
	}
	return nil
}

// framing takes otherwise as the length of a body that no field frames.
func (b *bodyFields) framing(otherwise int64) (framing, error) {
	switch {
	case b.hasLen && b.chunked:
		return framing{}, fmt.Errorf("%w: content-length and transfer-encoding", errNotHTTP)
	case b.chunked:
		return framing{chunked: true}, nil
	case b.hasLen:
		return framing{length: b.length}, nil
	}
	return framing{length: otherwise}, nil
}

// pathOf takes the path of a request target as it was sent, without the query.
func pathOf(target string) string {
	if !strings.HasPrefix(target, "/") {
		if u, err := url.Parse(target); err == nil && u.Scheme != "" && u.Host != "" {
			target = u.EscapedPath()
		}
	}
	p, _, _ := strings.Cut(target, "?")
	return p
}

// traceID takes the trace id of a W3C traceparent: version-traceid-spanid-flags.
func traceID(parent string) string {
	parts := strings.Split(parent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 {
		return ""
	}
	return parts[1]
}

// copyBody copies one body, as it is framed, byte for byte.
func copyBody(w io.Writer, r *bufio.Reader, f framing) error {
	return copyFramed(w, unchanged(w), r, f)
}

// copyFramed copies one body as it is framed: its framing to w, what it holds to p.
func copyFramed(w io.Writer, p payload, r *bufio.Reader, f framing) error {
	switch {
	case f.chunked:
		return copyChunks(w, p, r)
	case f.length > 0:
		return copyExactly(p(f.length), r, f.length)
	case f.length == 0:
		return nil
	}
	to := p(-1)
	for {
		err := copyExactly(to, r, 1<<62)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// copyExactly copies n bytes. The end of r before that is io.ErrUnexpectedEOF.
func copyExactly(w io.Writer, r *bufio.Reader, n int64) error {
	if n > httpBuffer {
		b := newBlock()
		defer b.release()
		for n > httpBuffer {
			got, err := r.Read(b.data[:min(n, blockSize)])
			if err != nil {
				return unexpected(err)
			}
			if _, err := w.Write(b.data[:got]); err != nil {
				return &writeError{err}
			}
			n -= int64(got)
		}
	}
	for n > 0 { // the rest out of r's own buffer
		if _, err := r.Peek(1); err != nil {
			return unexpected(err)
		}
		part, _ := r.Peek(int(min(n, int64(r.Buffered()))))
		if _, err := w.Write(part); err != nil {
			return &writeError{err}
		}
		r.Discard(len(part))
		n -= int64(len(part))
	}
	return nil
}

// copyChunks copies a chunked body with its trailer. A malformed chunk is
// errNotHTTP; the offending line has been copied then.
func copyChunks(w io.Writer, p payload, r *bufio.Reader) error {
	for {
		line, err := copyLine(w, r)
		if err != nil {
			return err
		}
		size, ok := chunkLength(line)
		if !ok {
			return errNotHTTP
		}
		if size == 0 {
			break
		}
		if err := copyExactly(p(size), r, size); err != nil {
			return err
		}
		if end, err := copyLine(w, r); err != nil {
			return err
		} else if len(end) != 2 {
			return errNotHTTP
		}
	}
	for { // trailer
		line, err := copyLine(w, r)
		if err != nil {
			return err
		}
		if len(line) == 2 {
			return nil
		}
	}
}

// copyLine copies a line that ends in CRLF. The result is valid until the next read.
func copyLine(w io.Writer, r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if _, werr := w.Write(line); werr != nil {
		return nil, &writeError{werr}
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errNotHTTP
	case err != nil:
		return nil, unexpected(err)
	case !bytes.HasSuffix(line, []byte("\r\n")):
		return nil, errNotHTTP
	}
	return line, nil
}

// chunkLength reads a chunk-size line, extensions and all.
func chunkLength(line []byte) (int64, bool) {
	digits, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(";"))
	n, err := strconv.ParseUint(string(bytes.TrimRight(digits, " \t")), 16, 62)
	return int64(n), err == nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// writeError tells a failure of the side written to from one of the side read.
type writeError struct{ err error }

func (e *writeError) Error() string { return "write: " + e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }
