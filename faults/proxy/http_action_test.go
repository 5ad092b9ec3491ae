package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func act(r faults.HTTPRule) faults.Stage { return faults.Stage{Seed: 7, HTTP: &r} }

// digits is a body in which every place tells itself.
func digits(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + i%10)
	}
	return b
}

// sized answers n bytes, chunked if asked so.
func sized(w http.ResponseWriter, req *http.Request) {
	n, _ := strconv.Atoi(req.URL.Query().Get("n"))
	if req.URL.Query().Get("chunked") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(n))
		w.Write(digits(n))
		return
	}
	for at := 0; at < n; at += 100 {
		w.Write(digits(n)[at:min(at+100, n)])
		w.(http.Flusher).Flush()
	}
}

func TestTruncate(t *testing.T) {
	for _, tt := range []struct {
		name, query string
		rule        faults.HTTPRule
		passes      int
		cut         bool
	}{
		{"bytes", "?n=1000", faults.HTTPRule{Bytes: 300}, 300, true},
		{"nothing", "?n=1000", faults.HTTPRule{}, 0, true},
		{"share", "?n=1000", faults.HTTPRule{Share: 0.5}, 500, true},
		{"big", "?n=3000000", faults.HTTPRule{Share: 0.5}, 1500000, true},
		{"chunks", "?n=1000&chunked=1", faults.HTTPRule{Bytes: 250}, 250, true},
		{"share of the first chunk", "?n=1000&chunked=1", faults.HTTPRule{Share: 0.5}, 50, true},
		{"closed", "?n=1000", faults.HTTPRule{Bytes: 300, Close: true}, 300, true},
		{"shorter", "?n=100", faults.HTTPRule{Bytes: 300}, 100, false},
		{"as long", "?n=300", faults.HTTPRule{Bytes: 300}, 300, false},
		{"chunks as long", "?n=300&chunked=1", faults.HTTPRule{Bytes: 300}, 300, false},
		{"empty", "?n=0", faults.HTTPRule{}, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, c := httpRig(t, sized)
			next := r.wire()
			tt.rule.Action = faults.HTTPTruncate
			s := act(tt.rule)
			s.Cap = 1
			r.put("cut", s)
			resp, err := c.Get("http://" + r.addr + "/" + tt.query)
			require.NoError(t, err)
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			assert.Equal(t, digits(tt.passes), got)
			e := next()
			assert.Equal(t, 200, e.Status)
			assert.True(t, e.Sent)
			if !tt.cut {
				require.NoError(t, err)
				assert.Zero(t, r.status("cut").Receipt.Hits)
				assert.Empty(t, e.Acts)
				assert.Empty(t, e.Error)
				assert.Zero(t, r.tally("cut").taken.Load(), "the cap is not spent")
				return
			}
			want := error(syscall.ECONNRESET)
			if tt.rule.Close {
				want = io.ErrUnexpectedEOF
			}
			assert.ErrorIs(t, err, want)
			assert.EqualValues(t, 1, r.status("cut").Receipt.Hits)
			assert.Equal(t, []Act{{"cut", 1, "truncate"}}, e.Acts)
			assert.Equal(t, map[bool]string{false: "reset", true: "upstream-closed"}[tt.rule.Close], e.Error)
			status, body := get(c, "http://"+r.addr+"/?n=7")
			assert.Equal(t, 200, status, "the cap is spent")
			assert.Equal(t, "0123456", body)
		})
	}
}

func TestCorrupt(t *testing.T) {
	differs := func(a, b []byte) (n int) {
		for i := range a {
			if a[i] != b[i] {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		name    string
		length  int
		chunked bool
		count   int64
		up      bool
		changed int
	}{
		{"one", 1000, false, 1, false, 1},
		{"some of many", 200_000, false, 50, false, 50},
		{"more than there are", 5, false, 9, false, 5},
		{"in the first chunk", 1000, true, 20, false, 20},
		{"request", 1000, false, 3, true, 3},
		{"chunked request", 1000, true, 3, true, 3},
		{"no body", 0, false, 3, false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bodies := make(chan []byte, 1)
			r, c := httpRig(t, func(w http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				bodies <- body
				if tt.chunked {
					w.(http.Flusher).Flush()
				}
				w.Write(digits(tt.length))
			})
			next := r.wire()
			r.put("bad", act(faults.HTTPRule{Action: faults.HTTPCorrupt, Bytes: tt.count, Up: tt.up}))
			src := io.Reader(bytes.NewReader(digits(tt.length)))
			if tt.chunked {
				src = io.MultiReader(src)
			}
			var seen [2][]byte
			for i := range seen {
				resp, err := c.Post("http://"+r.addr+"/", "text/plain", src)
				require.NoError(t, err)
				reply, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				resp.Body.Close()
				request := <-bodies
				if tt.up {
					seen[i] = request
					assert.Equal(t, digits(tt.length), reply)
				} else {
					seen[i] = reply
				}
				require.Len(t, seen[i], tt.length)
				assert.Equal(t, tt.changed, differs(digits(tt.length), seen[i]))
				src = bytes.NewReader(digits(tt.length))
				if tt.changed == 0 {
					assert.Empty(t, next().Acts)
				} else {
					assert.Equal(t, []Act{{"bad", uint64(i + 1), "corrupt"}}, next().Acts)
				}
			}
			if tt.changed > 1 && tt.length > 100 {
				assert.NotEqual(t, seen[0], seen[1], "each body elsewhere")
			}
			hits := uint64(2)
			if tt.changed == 0 {
				hits = 0
			}
			assert.Equal(t, hits, r.status("bad").Receipt.Hits)
		})
	}
}

func TestDuplicate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		length  int
		chunked bool
		close   bool
		want    int // requests that the upstream sees
	}{
		{"length", 500, false, false, 2},
		{"chunked", 500, true, false, 2},
		{"no body", 0, false, false, 2},
		{"too long", 1001, false, false, 1},
		{"chunked, too long", 1200, true, false, 1},
		{"last of its connection", 10, false, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			var bodies []string
			r, c := httpRig(t, func(w http.ResponseWriter, req *http.Request) {
				body, _ := io.ReadAll(req.Body)
				mu.Lock()
				defer mu.Unlock()
				bodies = append(bodies, req.Header.Get("Idempotency-Key")+string(body))
				fmt.Fprint(w, len(bodies))
			})
			next := r.wire()
			s := act(faults.HTTPRule{Action: faults.HTTPDuplicate, Bytes: 1000})
			s.Match.First = 1
			r.put("twice", s)
			send := func() string {
				src := io.Reader(bytes.NewReader(digits(tt.length)))
				if tt.chunked {
					src = io.MultiReader(src)
				}
				req, _ := http.NewRequest("POST", "http://"+r.addr+"/pay", src)
				req.Header.Set("Idempotency-Key", "k")
				req.Close = tt.close
				resp, err := c.Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				return string(got)
			}
			assert.Equal(t, "1", send(), "the first reply is the caller's")
			assert.Equal(t, strconv.Itoa(tt.want+1), send(), "the second is nobody's")
			for _, b := range bodies {
				assert.Equal(t, "k"+string(digits(tt.length)), b)
			}
			assert.EqualValues(t, tt.want-1, r.status("twice").Receipt.Hits)
			first, second := next(), next()
			if first.N > second.N { // the line of a connection that ends may come later
				first, second = second, first
			}
			assert.Len(t, first.Acts, tt.want-1)
			assert.Empty(t, second.Acts)
			assert.EqualValues(t, 2, second.N, "the copy is no exchange of the caller's")
		})
	}
}

func TestRateLimit(t *testing.T) {
	r, c := httpRig(t, okHandler)
	r.put("limit", act(faults.HTTPRule{Action: faults.HTTPRateLimit, Status: 429, Rate: 0.01, Burst: 3, Body: "slow down"}))
	var got []int
	for range 5 {
		resp, err := c.Get("http://" + r.addr + "/")
		require.NoError(t, err)
		resp.Body.Close()
		got = append(got, resp.StatusCode)
		if resp.StatusCode == 429 {
			after, err := strconv.Atoi(resp.Header.Get("Retry-After"))
			require.NoError(t, err)
			assert.InDelta(t, 100, after, 5)
		}
	}
	assert.Equal(t, []int{200, 200, 200, 429, 429}, got)
	assert.EqualValues(t, 2, r.status("limit").Receipt.Hits)
	own := act(faults.HTTPRule{Action: faults.HTTPRateLimit, Status: 503, Rate: 0.01, Burst: 1, Header: map[string]string{"retry-after": "7"}})
	r.put("limit", own)
	get(c, "http://"+r.addr+"/")
	resp, err := c.Get("http://" + r.addr + "/")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 503, resp.StatusCode, "what replaces a limit begins anew")
	assert.Equal(t, []string{"7"}, resp.Header["Retry-After"])
}

func TestRateLimitLetsPassAsTimeGoes(t *testing.T) {
	r, c := httpRig(t, okHandler)
	r.put("limit", act(faults.HTTPRule{Action: faults.HTTPRateLimit, Status: 429, Rate: 20, Burst: 1}))
	start, passed := time.Now(), 0
	for time.Since(start) < 500*time.Millisecond || passed < 4 {
		if status, _ := get(c, "http://"+r.addr+"/"); status == 200 {
			passed++
		}
	}
	assert.LessOrEqual(t, float64(passed), 1+20*time.Since(start).Seconds())
}

func TestAbortThatCloses(t *testing.T) {
	r, _ := httpRig(t, okHandler)
	r.put("x", act(faults.HTTPRule{Action: faults.HTTPAbort, Close: true}))
	nc := r.dial()
	io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_, err := nc.Read(make([]byte, 1))
	assert.ErrorIs(t, err, io.EOF)
	assert.EqualValues(t, 1, r.status("x").Receipt.Hits)
}

func TestDelayIsDrawnFromTheSeed(t *testing.T) {
	s := act(faults.HTTPRule{Action: faults.HTTPDelay, Delay: 100 * time.Millisecond, Jitter: 20 * time.Millisecond})
	draw := func() (out []time.Duration) {
		st := choosing(t, s)
		for n := range uint64(500) {
			out = append(out, ruling{st, n}.delay())
		}
		return out
	}
	first := draw()
	assert.Equal(t, first, draw())
	least, most := first[0], first[0]
	for _, d := range first {
		least, most = min(least, d), max(most, d)
	}
	assert.InDelta(t, 80*time.Millisecond, least, float64(time.Millisecond))
	assert.InDelta(t, 120*time.Millisecond, most, float64(time.Millisecond))
}

func TestMatchByHeaderAndKey(t *testing.T) {
	r, _ := httpRig(t, okHandler)
	nc := r.dial()
	br := bufio.NewReader(nc)
	ask := func(header string) int {
		io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\n"+header+"\r\n")
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	for _, tt := range []struct {
		match   faults.Match
		hit     []string
		spared  []string
		comment string
	}{
		{faults.Match{Header: map[string]string{"x-user": "anna"}}, []string{"X-User: anna\r\n", "x-user:anna \r\n", "X-User: bob\r\nX-User: anna\r\n"}, []string{"", "X-User: ann\r\n", "X-User: annabel\r\n"}, "value"},
		{faults.Match{Header: map[string]string{"X-User": "a*", "X-B": "*"}}, []string{"X-User: anna\r\nX-B:\r\n"}, []string{"X-User: anna\r\n", "X-B: 1\r\n"}, "both"},
		{faults.Match{Key: "pay-*"}, []string{"Idempotency-Key: pay-1\r\n", "X-Request-Id: pay-\r\n"}, []string{"", "Idempotency-Key: refund-1\r\n"}, "key"},
		{faults.Match{Key: "pay-1"}, []string{"Idempotency-Key: pay-1\r\n"}, []string{"Idempotency-Key: pay-12\r\n"}, "exact key"},
	} {
		r.put("s", rule(faults.HTTPStatus, tt.match))
		for _, h := range tt.hit {
			assert.Equal(t, 503, ask(h), "%s %q", tt.comment, h)
		}
		for _, h := range tt.spared {
			assert.Equal(t, 200, ask(h), "%s %q", tt.comment, h)
		}
	}
}

// tally reaches into the server for what its API does not show.
func (r *rig) tally(id string) *tally {
	r.t.Helper()
	r.server.tallies.mu.Lock()
	defer r.server.tallies.mu.Unlock()
	return r.server.tallies.known[tallyKey{"", id}]
}
