package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	tlsFirstByte = 0x16 // of a handshake record
	// tlsPatience bounds the wait for the first byte of a caller that may not
	// speak first, or no TLS: its connection then passes as it is.
	tlsPatience = time.Second
	maxAnswers  = 8 // kinds of answers told apart
)

// tlsAnswers counts what callers answered to a bad certificate.
type tlsAnswers struct {
	mu     sync.Mutex
	counts map[string]int
}

func (a *tlsAnswers) add(word string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.counts == nil {
		a.counts = map[string]int{}
	}
	if _, known := a.counts[word]; !known && len(a.counts) >= maxAnswers {
		word = "other"
	}
	a.counts[word]++
}

// String lists the answers: "12 said bad certificate, 1 went on regardless".
func (a *tlsAnswers) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var words []string
	for _, word := range slices.Sorted(maps.Keys(a.counts)) {
		words = append(words, fmt.Sprintf("%d %s", a.counts[word], word))
	}
	return strings.Join(words, ", ")
}

// serveTLS meets a new connection with a bad certificate, if a stage wants that
// and the caller speaks TLS; else it is false and nothing was read. A caller
// that goes on regardless is led to the upstream, as it would be if that had
// the certificate, over a TLS connection of ours and through all other stages.
func (c *conn) serveTLS(ctx context.Context) bool {
	stages := c.link.current().tls
	if len(stages) == 0 || !c.speaksTLS() {
		return false
	}
	st := c.chosenOf(stages)
	if st == nil {
		return false
	}
	if err := c.dial(ctx); err != nil {
		c.reset()
		c.log(dialWord(err))
		return true
	}
	m := tlsMiddle{conn: c, st: st}
	server := tls.Server(&tlsSide{c.caller, &c.up, c.toCaller()}, &tls.Config{GetConfigForClient: m.config})
	switch err := server.HandshakeContext(ctx); {
	case err != nil && !m.met:
		c.reset()
		c.log(errWordCallerLeft)
	case err != nil:
		m.st.answers.add(tlsAnswer(err))
		c.end(&cause{errWordCallerLeft, m.st.id}, false)
		c.log(errWordCallerLeft)
	default:
		m.st.answers.add("went on regardless")
		c.log(m.relay(server))
	}
	return true
}

// speaksTLS looks at the caller's first byte and leaves it where it is.
func (c *conn) speaksTLS() bool {
	defer c.caller.SetReadDeadline(time.Time{})
	for until := time.Now().Add(tlsPatience); ; {
		c.caller.SetReadDeadline(until)
		first, err := peekByte(c.caller)
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(until) {
			continue // kicked
		}
		return err == nil && first == tlsFirstByte
	}
}

// tlsSide is one side of a connection as TLS sees it: what passes goes through
// the stages of the link and is counted.
type tlsSide struct {
	*net.TCPConn
	r io.Reader
	w io.Writer
}

func (s *tlsSide) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s *tlsSide) Write(p []byte) (int, error) { return s.w.Write(p) }

// tlsMiddle stands between a caller and its upstream.
type tlsMiddle struct {
	*conn
	st       *stage
	met      bool      // the caller was shown the certificate
	upstream *tls.Conn // nil: the upstream will have none of it
}

// config answers the caller's greeting. The upstream is greeted first: what
// the two speak inside is theirs to agree on.
func (m *tlsMiddle) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	cert, err := m.st.issuer.certificate(hello.ServerName, m.caller.LocalAddr())
	if err != nil {
		return nil, err
	}
	upstream := tls.Client(&tlsSide{m.conn.upstream, &m.down, m.toUpstream()}, &tls.Config{
		ServerName: hello.ServerName, NextProtos: hello.SupportedProtos,
		InsecureSkipVerify: true, // whom we reach is not what is tested
	})
	protos := hello.SupportedProtos
	if upstream.HandshakeContext(hello.Context()) == nil {
		m.upstream, protos = upstream, nil
		if p := upstream.ConnectionState().NegotiatedProtocol; p != "" {
			protos = []string{p}
		}
	}
	m.met = true
	m.st.hit(1)
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protos}, nil
}

// relay passes on what a caller says that does not care, until both sides are
// done, and returns the wire log's word for a failure.
func (m *tlsMiddle) relay(caller *tls.Conn) string {
	if m.upstream == nil {
		m.reset()
		return errWordUpstream
	}
	pass := func(dst, src *tls.Conn, word string) string {
		_, err := io.Copy(dst, src)
		if err != nil {
			m.reset()
			return word
		}
		dst.CloseWrite()
		m.watchHalf()
		return ""
	}
	up := make(chan string, 1)
	m.lanes.Go(func() { up <- pass(m.upstream, caller, errWordCallerLeft) })
	down := pass(caller, m.upstream, errWordUpstream)
	if word := <-up; word != "" {
		return word
	}
	return down
}

// tlsAnswer is what the caller said in its alert, or how it left without one.
func tlsAnswer(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return "said " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return "left without a word"
}

// sendAway resets live connections, so that their callers come again and shake
// hands. These are no hits.
func (l *link) sendAway(st *stage) {
	for _, c := range l.live() {
		c.end(&cause{errWordReset, st.id}, true)
	}
}
