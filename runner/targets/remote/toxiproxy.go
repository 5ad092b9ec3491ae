package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"squall/faults"
)

// stock is a Toxiproxy server that others use as well. We add and remove toxics
// by our own names, and disable a proxy only where a toxic of ours says so: what
// others have set up is neither changed nor counted as ours. There is no reset.
type stock struct{ api string }

// stockProxy is a proxy as the server tells it.
type stockProxy struct {
	Name     string         `json:"name"`
	Listen   string         `json:"listen"`
	Upstream string         `json:"upstream"`
	Enabled  bool           `json:"enabled"`
	Toxics   []faults.Toxic `json:"toxics"`
}

// Names of our toxics: "squall.STAGE.N", and for a proxy that we have disabled
// a toxic that does nothing, so that any process knows who did.
const (
	ours    = "squall."
	markEnd = ".down"
)

func toxicName(id, what string) string { return ours + url.PathEscape(id) + "." + what }

func of(name, id string) bool { return strings.HasPrefix(name, toxicName(id, "")) }

// foreign are the toxics that are not of the stage id.
func (p stockProxy) foreign(id string) []faults.Toxic {
	return slices.DeleteFunc(slices.Clone(p.Toxics), func(t faults.Toxic) bool { return id != "" && of(t.Name, id) })
}

func (s stock) proxies(ctx context.Context) (all map[string]stockProxy, err error) {
	return all, s.call(ctx, "GET", "/proxies", nil, &all)
}

func (s stock) proxy(ctx context.Context, name string) (p stockProxy, err error) {
	return p, s.call(ctx, "GET", proxyPath(name), nil, &p)
}

func (s stock) addToxic(ctx context.Context, proxy string, t faults.Toxic) error {
	return s.call(ctx, "POST", proxyPath(proxy)+"/toxics", t, nil)
}

func (s stock) removeToxic(ctx context.Context, proxy, name string) error {
	err := s.call(ctx, "DELETE", toxicPath(proxy, name), nil, nil)
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

func (s stock) enable(ctx context.Context, proxy string, on bool) error {
	return s.call(ctx, "POST", proxyPath(proxy), map[string]bool{"enabled": on}, nil)
}

func proxyPath(name string) string { return "/proxies/" + url.PathEscape(name) }

func toxicPath(proxy, name string) string {
	return proxyPath(proxy) + "/toxics/" + url.PathEscape(name)
}

// curl is a call as a person makes it.
func (s stock) curl(method, path string, args ...string) []string {
	return append([]string{"curl", "-f", "-X", method, strings.TrimRight(s.api, "/") + path}, args...)
}

var errNotFound = errors.New("not found")

// toxiproxy's answers come over connections of their own: a frozen control
// plane must not hold up the next call.
var toxiproxyHTTP = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func (s stock) call(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(s.api, "/")+path, body)
	if err != nil {
		return err
	}
	resp, err := toxiproxyHTTP.Do(req)
	if err != nil {
		return fmt.Errorf("toxiproxy: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	switch {
	case err != nil:
		return fmt.Errorf("toxiproxy: %s %s: %w", method, path, err)
	case resp.StatusCode == http.StatusNotFound:
		return fmt.Errorf("toxiproxy: %s %s: %w", method, path, errNotFound)
	case resp.StatusCode >= 300:
		return fmt.Errorf("toxiproxy: %s %s: %s %.200s", method, path, resp.Status, bytes.TrimSpace(text))
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

// received are the bytes that went through a proxy on connections that have
// ended, which is when a stock server counts them; ok is false where it does not.
func (s stock) received(ctx context.Context, proxy string) (sum uint64, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", strings.TrimRight(s.api, "/")+"/metrics", nil)
	if err != nil {
		return 0, false
	}
	resp, err := toxiproxyHTTP.Do(req)
	if err != nil {
		return 0, false
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	for line := range strings.Lines(string(text)) {
		labels, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if strings.HasPrefix(labels, "toxiproxy_proxy_received_bytes_total{") && strings.Contains(labels, `proxy="`+proxy+`"`) {
			n, err := strconv.ParseFloat(value, 64)
			if err == nil {
				sum, ok = sum+uint64(n), true
			}
		}
	}
	return sum, ok
}

// stockLink is an edge through a stock server.
type stockLink struct {
	edge, proxy, protocol string
	server                stock

	mu     sync.Mutex
	placed map[string]*placed // stages that this process put
}

// placed is what the receipt of a stage counts from.
type placed struct {
	bytes    uint64
	usual    time.Duration // that a request of ours took before
	hits     uint64
	first    time.Time
	last     time.Time
	examples []string
}

// Name of the edge.
func (l *stockLink) Name() string { return l.edge }

// PutStage adds the stage's toxics, or disables the proxy for one that refuses.
func (l *stockLink) PutStage(ctx context.Context, id string, s faults.Stage) error {
	toxics, down, err := translate(id, s)
	if err != nil {
		return fmt.Errorf("%s: %w", l.edge, err)
	}
	p, err := l.server.proxy(ctx, l.proxy)
	if err != nil {
		return err
	}
	if !p.Enabled {
		return fmt.Errorf("proxy %s is disabled already, by somebody else", l.proxy)
	}
	l.begin(ctx, id)
	for _, t := range toxics {
		if err := l.server.addToxic(ctx, l.proxy, t); err != nil {
			return err
		}
	}
	if down {
		return l.server.enable(ctx, l.proxy, false)
	}
	return nil
}

// translate says a stage in toxics; down means that the proxy is disabled.
func translate(id string, s faults.Stage) (toxics []faults.Toxic, down bool, err error) {
	m := s.Match
	if s.HTTP != nil || s.Bus != nil || s.Query != nil || s.Flap != nil || s.Packets != nil || s.TLS != nil || s.Accept > 0 ||
		s.After != nil || s.Ramp > 0 || s.Cap > 0 || m.From+m.First+m.Every > 0 {
		return nil, false, errors.New("a stock Toxiproxy server cannot do that: it knows toxics and disabled proxies; put a squall proxy on the edge")
	}
	named := func(n int, t faults.Toxic) faults.Toxic {
		t.Name = toxicName(id, strconv.Itoa(n))
		if t.Toxicity == 0 {
			t.Toxicity = 1
		}
		if m.Probability > 0 {
			t.Toxicity = float32(m.Probability)
		}
		if t.Stream == "" {
			t.Stream = "downstream"
		}
		return t
	}
	attributes := func(text string) json.RawMessage { return json.RawMessage(text) }
	switch {
	case s.Mode == faults.LinkRefuse:
		mark := faults.Toxic{Name: toxicName(id, markEnd[1:]), Type: "latency", Stream: "downstream", Toxicity: 0, Attributes: attributes(`{"latency":0,"jitter":0}`)}
		return []faults.Toxic{mark}, true, nil
	case s.Mode == faults.LinkHang:
		for n, stream := range []string{"upstream", "downstream"} {
			toxics = append(toxics, named(n, faults.Toxic{Type: "timeout", Stream: stream, Attributes: attributes(`{"timeout":0}`)}))
		}
	case s.Reset:
		toxics = append(toxics, named(0, faults.Toxic{Type: "reset_peer", Stream: "downstream", Attributes: attributes(`{"timeout":0}`)}))
	}
	for n, t := range s.Toxics {
		toxics = append(toxics, named(len(s.Toxics)+n, t))
	}
	return toxics, false, nil
}

// DeleteStage removes our toxics and enables what we have disabled, in an order
// in which it may stop anywhere and be begun again.
func (l *stockLink) DeleteStage(ctx context.Context, id string) error {
	p, err := l.server.proxy(ctx, l.proxy)
	if errors.Is(err, errNotFound) {
		return faults.ErrGone
	}
	if err != nil {
		return err
	}
	for _, t := range p.Toxics {
		if !of(t.Name, id) {
			continue
		}
		if strings.HasSuffix(t.Name, markEnd) && !p.Enabled {
			if err := l.server.enable(ctx, l.proxy, true); err != nil {
				return byHand(err, l.server.curl("POST", proxyPath(l.proxy), "-d", `{"enabled":true}`))
			}
		}
		if err := l.server.removeToxic(ctx, l.proxy, t.Name); err != nil {
			return byHand(err, l.server.curl("DELETE", toxicPath(l.proxy, t.Name)))
		}
	}
	return nil
}

// StageStatus looks whether our toxics are there, and whom they hit.
func (l *stockLink) StageStatus(ctx context.Context, id string) (faults.StageStatus, error) {
	p, err := l.server.proxy(ctx, l.proxy)
	if errors.Is(err, errNotFound) {
		err = faults.ErrNoStage
	}
	if err != nil {
		return faults.StageStatus{}, err
	}
	if len(p.foreign(id)) == len(p.Toxics) {
		return faults.StageStatus{}, faults.ErrNoStage
	}
	return faults.StageStatus{ID: id, Proxy: l.proxy, Receipt: l.receipt(ctx, id, p)}, nil
}

func (l *stockLink) begin(ctx context.Context, id string) {
	b := &placed{}
	b.bytes, _ = l.server.received(ctx, l.proxy)
	b.usual, _ = l.tryOnce(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.placed == nil {
		l.placed = map[string]*placed{}
	}
	l.placed[id] = b
}

// receipt is measured in two ways, since a stock server has no receipts: by the
// bytes that it counts when connections end (-proxy-metrics), and by requests
// of ours through the proxy.
func (l *stockLink) receipt(ctx context.Context, id string, p stockProxy) faults.Receipt {
	l.mu.Lock()
	b := l.placed[id]
	l.mu.Unlock()
	if b == nil {
		return faults.Receipt{Note: "put by another process"}
	}
	now := time.Now()
	if bytes, counted := l.server.received(ctx, l.proxy); counted && bytes > b.bytes && p.Enabled {
		return faults.Receipt{Hits: bytes - b.bytes, Unit: "bytes", First: now, Last: now, Note: "of connections that have ended, as the server counts them"}
	}
	took, err := l.tryOnce(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil || took > 2*b.usual+20*time.Millisecond {
		says := fmt.Sprintf("took %s, before %s", took.Round(time.Millisecond), b.usual.Round(time.Millisecond))
		if err != nil {
			says = err.Error()
		}
		if b.hits == 0 {
			b.first = now
		}
		b.hits, b.last = b.hits+1, now
		if len(b.examples) < 3 {
			b.examples = append(b.examples, says)
		}
	}
	return faults.Receipt{Hits: b.hits, Unit: "requests", First: b.first, Last: b.last, Items: slices.Clone(b.examples),
		Note: "our own through the proxy: a stock server tells of no others"}
}

// tryOnce sends one request through the proxy, or only connects where the edge
// does not speak HTTP.
func (l *stockLink) tryOnce(ctx context.Context) (time.Duration, error) {
	p, err := l.server.proxy(ctx, l.proxy)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	at, begun := reachable(p.Listen, l.server.api), time.Now()
	if l.protocol != "http" {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at)
		if err != nil {
			return time.Since(begun), err
		}
		return time.Since(begun), conn.Close()
	}
	req, err := http.NewRequestWithContext(ctx, "HEAD", "http://"+at+"/", nil)
	if err != nil {
		return 0, err
	}
	resp, err := toxiproxyHTTP.Do(req)
	if err != nil {
		return time.Since(begun), err
	}
	return time.Since(begun), resp.Body.Close()
}
