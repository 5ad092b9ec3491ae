package proxy

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"squall/faults"
)

// call is what rules choose by: a request of an HTTP edge, or a gRPC call.
type call struct {
	method, path, op, key string
	values                func(name string) []string // of a header field
}

// ruling is a stage that acts on unit n.
type ruling struct {
	*stage
	n uint64
}

// decision is what the HTTP rules want of one request.
type decision struct {
	delays []ruling // wait for each
	act    ruling   // then do this; no stage: forward
}

// decide asks all rules in order. Delays add up; the first rule that ends the
// matter otherwise wins, but every rule counts the requests that match it.
func decide(rules []*stage, c call) (d decision) {
	for _, st := range rules {
		if !st.awake() || !matches(st.Match, c) {
			continue
		}
		switch n := st.tally.seen.Add(1); {
		case d.act.stage != nil || !st.picks(n) || st.admits() || !st.spend():
		case st.HTTP.Action == faults.HTTPDelay:
			d.delays = append(d.delays, ruling{st, n})
		default:
			d.act = ruling{st, n}
		}
	}
	return d
}

func matches(m faults.Match, c call) bool {
	if m.Method != "" && m.Method != c.method || m.Path != "" && !matchPath(m.Path, c.path) {
		return false
	}
	if m.Key != "" && !matchText(m.Key, c.key) && !matchText(m.Key, c.op) {
		return false
	}
	for name, want := range m.Header {
		if !slices.ContainsFunc(c.values(name), func(v string) bool { return matchText(want, v) }) {
			return false
		}
	}
	return true
}

// matchText: a trailing * matches any rest.
func matchText(pattern, text string) bool {
	if prefix, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(text, prefix)
	}
	return pattern == text
}

// matchPath is path.Match, but a trailing /** matches any rest, also none.
func matchPath(pattern, p string) bool {
	prefix, deep := strings.CutSuffix(pattern, "/**")
	if !deep {
		ok, err := path.Match(pattern, p)
		return ok && err == nil
	}
	depth := strings.Count(prefix, "/")
	rest := strings.SplitN(p, "/", depth+2)
	if len(rest) <= depth {
		return false
	}
	ok, err := path.Match(prefix, strings.Join(rest[:depth+1], "/"))
	return ok && err == nil
}

// ending is how a rule that ends the connection does, in the wire log's words.
func (r ruling) ending() string {
	if r.HTTP.Close {
		return errWordUpstream
	}
	return errWordReset
}

// delay is how long this request waits: drawn from seed and index, and as far as
// the ramp has grown.
func (r ruling) delay() time.Duration {
	d := float64(r.HTTP.Delay)
	if r.HTTP.Jitter > 0 {
		d += float64(r.HTTP.Jitter) * (2*chance(r.Seed, r.id+"/jitter", r.n) - 1)
	}
	return max(time.Duration(d*r.ramp(time.Now())), 1)
}

// spare gives back what deciding took of the cap: nothing was done.
func (s *stage) spare() {
	if s.Cap > 0 {
		s.tally.taken.Add(^uint64(0))
	}
}

// admits tells whether a rate limit lets a request pass.
func (s *stage) admits() bool {
	return s.HTTP.Action == faults.HTTPRateLimit && s.tally.limiter.Allow()
}

// reply is the answer in the upstream's place. bodyless is for HEAD.
func (r ruling) reply(bodyless, closes bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", r.HTTP.Status, http.StatusText(r.HTTP.Status))
	for _, k := range slices.Sorted(maps.Keys(r.HTTP.Header)) {
		if !strings.EqualFold(k, "Content-Length") && !strings.EqualFold(k, "Transfer-Encoding") {
			fmt.Fprintf(&b, "%s: %s\r\n", k, r.HTTP.Header[k])
		}
	}
	if r.HTTP.Action == faults.HTTPRateLimit && !r.says("Retry-After") {
		fmt.Fprintf(&b, "Retry-After: %d\r\n", r.retryAfter())
	}
	fmt.Fprintf(&b, "Date: %s\r\n", time.Now().UTC().Format(http.TimeFormat))
	if closes {
		b.WriteString("Connection: close\r\n")
	}
	if r.HTTP.Status == http.StatusNoContent || r.HTTP.Status == http.StatusNotModified {
		b.WriteString("\r\n")
		return []byte(b.String())
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(r.HTTP.Body))
	if !bodyless {
		b.WriteString(r.HTTP.Body)
	}
	return []byte(b.String())
}

// says tells whether the answer's header is given.
func (r ruling) says(name string) bool {
	for k := range r.HTTP.Header {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}

// retryAfter is how long the next token takes, in whole seconds as HTTP has it.
func (r ruling) retryAfter() int {
	missing := 1 - r.tally.limiter.Tokens()
	return max(1, int(math.Ceil(missing/r.HTTP.Rate)))
}
