package probe

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"squall/runner/record"
)

// HTTP is a request on a connection of its own: a kept one would say more of
// the past than of the server.
type HTTP struct {
	Method, URL string
	Header      map[string]string
	Body        string
	Timeout     time.Duration
}

// once dials anew for each request, goes past proxies of the environment and
// takes a redirect for the answer that it is.
var once = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Do sends the request. Value is the status.
func (h HTTP) Do(ctx context.Context) record.Probe {
	return timed(ctx, h.Timeout, func(ctx context.Context, p *record.Probe) error {
		req, err := http.NewRequestWithContext(ctx, h.Method, h.URL, strings.NewReader(h.Body))
		if err != nil {
			return err
		}
		if h.Body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		for key, value := range h.Header {
			req.Header.Set(key, value)
		}
		res, err := once.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, maxText+1))
		if err != nil {
			return err
		}
		p.Value, p.Text, p.Header = float64(res.StatusCode), kept(body), map[string]string{}
		for key := range res.Header {
			p.Header[key] = strings.Join(res.Header.Values(key), ", ")
		}
		return nil
	})
}
