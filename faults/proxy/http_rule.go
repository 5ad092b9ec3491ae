package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"squall/faults"
)

// decision is what the HTTP rules want of one request.
type decision struct {
	delays []*stage // wait for each
	act    *stage   // then do this; nil: forward
}

// decide asks all rules in order. Delays add up; the first rule that ends the
// matter otherwise wins, but every rule counts the requests that match it.
func decide(rules []*stage, method, urlPath string) (d decision) {
	for _, st := range rules {
		if !st.fires(method, urlPath) {
			continue
		}
		switch {
		case d.act != nil:
		case st.HTTP.Action == faults.HTTPDelay:
			d.delays = append(d.delays, st)
		default:
			d.act = st
		}
	}
	return d
}

// fires counts a request that matches and tells whether it is chosen.
func (s *stage) fires(method, urlPath string) bool {
	m := s.HTTP.Match
	if m.Method != "" && m.Method != method || m.Path != "" && !matchPath(m.Path, urlPath) {
		return false
	}
	n := s.matched.Add(1)
	switch {
	case m.First > 0 && n > m.First:
	case m.Every > 0 && n%m.Every != 0:
	case m.Probability > 0 && chance(s.Seed, s.id, n) >= m.Probability:
	default:
		return true
	}
	return false
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

// reply is the answer of an HTTPStatus rule. bodyless is for HEAD.
func reply(r *faults.HTTPRule, bodyless, closes bool) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", r.Status, http.StatusText(r.Status))
	for _, k := range slices.Sorted(maps.Keys(r.Header)) {
		if !strings.EqualFold(k, "Content-Length") && !strings.EqualFold(k, "Transfer-Encoding") {
			fmt.Fprintf(&b, "%s: %s\r\n", k, r.Header[k])
		}
	}
	fmt.Fprintf(&b, "Date: %s\r\n", time.Now().UTC().Format(http.TimeFormat))
	if closes {
		b.WriteString("Connection: close\r\n")
	}
	if r.Status == http.StatusNoContent || r.Status == http.StatusNotModified {
		b.WriteString("\r\n")
		return []byte(b.String())
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(r.Body))
	if !bodyless {
		b.WriteString(r.Body)
	}
	return []byte(b.String())
}
