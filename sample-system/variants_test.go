//go:build e2e

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The tests TestVariant* boot the shop once for each variant of system.yaml and
// break it under load. They have a turn of their own in make test: what they
// measure would suffer beside others.

// part is a test that shares its boot with others.
type part struct {
	name string
	run  func(*testing.T)
}

func (s *shop) parts(t *testing.T, parts ...part) {
	for _, p := range parts {
		t.Run(p.name, func(t *testing.T) {
			s.t = t
			defer func(whole testing.TB) { s.t = whole }(s.whole)
			p.run(t)
		})
	}
}

// eventually is for what the shop does by itself within seconds.
func eventually(t testing.TB, cond func() bool, within time.Duration, what string) {
	t.Helper()
	require.Eventually(t, cond, within, 20*time.Millisecond, what)
}

// answer is one request under load and what came of it.
type answer struct {
	reply
	id  string
	at  time.Time // when it was there
	err error
}

// load is requests at a steady rate, whatever becomes of them.
type load struct {
	quit chan struct{}
	done sync.WaitGroup

	mu  sync.Mutex
	all []answer
}

// drive begins to send requests, the n-th by send under an id of its own, at a
// rate per second.
func drive(prefix string, rate int, send func(n int, id string) (reply, error)) *load {
	l := &load{quit: make(chan struct{})}
	l.done.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-l.quit:
				return
			case <-tick.C:
			}
			l.done.Go(func() {
				id := fmt.Sprintf("%s-%d", prefix, n)
				r, err := send(n, id)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.all = append(l.all, answer{r, id, time.Now(), err})
			})
		}
	})
	return l
}

// answers are those so far.
func (l *load) answers() []answer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[:len(l.all):len(l.all)]
}

// stop waits for the requests under way.
func (l *load) stop() []answer {
	close(l.quit)
	l.done.Wait()
	return l.all
}

// more waits for n further answers.
func (l *load) more(t testing.TB, n int) {
	t.Helper()
	from := len(l.answers())
	eventually(t, func() bool { return len(l.answers()) >= from+n }, 20*time.Second, "the load does not get on")
}

// allWith requires that every answer has the status code.
func allWith(t testing.TB, code int, answers []answer) {
	t.Helper()
	var wrong []string
	for _, a := range answers {
		if a.err != nil || a.code != code {
			wrong = append(wrong, fmt.Sprintf("%s: %d %s %v", a.id, a.code, a.Detail, a.err))
		}
	}
	assert.Empty(t, wrong, "of %d requests", len(answers))
	assert.NotEmpty(t, answers)
}

// checkouts are orders of tea.
func (s *shop) checkouts(_ int, id string) (reply, error) { return s.tryCheckout(id, tea) }

// pages are product pages, of one product after the other.
func (s *shop) pages(n int, id string) (reply, error) {
	return s.send(http.MethodGet, "/products/"+[]string{"tea", "coffee", "cocoa", "mate", "rooibos"}[n%5], id, "")
}

// ops sends a request to the operations listener of an instance.
func (s *shop) ops(name, method, path, body string, into any) int {
	return ask(s.t, method, "http://"+s.addr[name+".ops"]+path, body, into)
}

// ask sends a request and decodes the answer, if into is there to take it.
func ask(t testing.TB, method, url, body string, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if into != nil {
		require.NoError(t, json.Unmarshal(b, into), "%s", b)
	}
	return resp.StatusCode
}

// metric is the sum of a metric's values over the series with these labels,
// name by value; of a histogram the number of its samples.
func metric(t testing.TB, ops, name string, labels map[string]string) (sum float64) {
	t.Helper()
	resp, err := http.Get("http://" + ops + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(t, err)
	for _, m := range families[name].GetMetric() {
		if has(m, labels) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}

func has(m *dto.Metric, labels map[string]string) bool {
	left := len(labels)
	for _, pair := range m.GetLabel() {
		if want, asked := labels[pair.GetName()]; asked && want == pair.GetValue() {
			left--
		}
	}
	return left == 0
}
