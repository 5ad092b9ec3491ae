package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func TestNewConnectionsAreHeld(t *testing.T) {
	for _, protocol := range []string{"tcp", ProtocolHTTP} {
		t.Run(protocol, func(t *testing.T) {
			const held = 150 * time.Millisecond
			reached := make(chan time.Time, 8)
			r := newRig(t, protocol, tcpServer(t, func(nc *net.TCPConn) {
				reached <- time.Now()
				for in := bufio.NewReader(nc); ; {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			}), Options{})
			ask := func(nc net.Conn) {
				t.Helper()
				_, err := io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				require.NoError(t, err)
				_, err = http.ReadResponse(bufio.NewReader(nc), nil)
				require.NoError(t, err)
			}
			live := r.dial()
			ask(live)
			<-reached

			r.put("slow", faults.Stage{Accept: held})
			ask(live)
			assert.Zero(t, r.status("slow").Receipt.Hits, "a live connection is untouched")

			start := time.Now()
			ask(r.dial())
			assert.GreaterOrEqual(t, time.Since(start), held)
			assert.GreaterOrEqual(t, (<-reached).Sub(start), held, "nothing is dialled before")
			got := r.status("slow").Receipt
			assert.EqualValues(t, 1, got.Hits)
			assert.Equal(t, "connections", got.Unit)
			assert.WithinRange(t, got.First, start, start.Add(held))
			r.remove("slow")
		})
	}
}

// What is held is served at once when the stage goes.
func TestHeldConnectionsAreLetGo(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	r.put("slow", faults.Stage{Accept: time.Hour})
	nc := r.dial()
	_, err := io.WriteString(nc, "held")
	require.NoError(t, err)
	eventually(t, func() bool { return r.status("slow").Receipt.Hits == 1 }, "held")
	r.remove("slow")
	got := make([]byte, 4)
	_, err = io.ReadFull(nc, got)
	require.NoError(t, err)
	assert.Equal(t, "held", string(got))
}

// A caller that has said all it has to say still gets its answer.
func TestHeldCallerMayHaveClosedItsSide(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	r.put("slow", faults.Stage{Accept: 120 * time.Millisecond})
	nc := r.dial()
	_, err := io.WriteString(nc, "last words")
	require.NoError(t, err)
	require.NoError(t, nc.CloseWrite())
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	assert.Equal(t, "last words", string(got))
}

func TestHeldConnectionIsReset(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	next := r.wire()
	r.put("slow", faults.Stage{Accept: time.Hour})
	nc := r.dial()
	eventually(t, func() bool { return r.status("slow").Receipt.Hits == 1 }, "held")
	r.put("cut", faults.Stage{Reset: true})
	_, err := nc.Read(make([]byte, 1))
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	e := next()
	assert.Equal(t, "reset", e.Error)
	assert.Equal(t, "cut", e.Fault)
	assert.False(t, e.Sent)
}

func TestOnlyChosenConnectionsAreHeld(t *testing.T) {
	r := newRig(t, "tcp", tcpServer(t, echo), Options{})
	live := r.dial() // counts for nothing: it is accepted already
	roundTrip(t, live, "before")
	s := faults.Stage{Accept: time.Hour, Match: faults.Match{Every: 2}}
	r.put("slow", s)
	for want := uint64(1); want <= 3; want++ {
		roundTrip(t, r.dial(), "passes")
		held := r.dial()
		eventually(t, func() bool { return r.status("slow").Receipt.Hits == want }, "every second is held")
		held.Close()
	}
}
