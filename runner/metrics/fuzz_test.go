package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

// What can be scraped can be recorded, read back and queried.
func FuzzExposition(f *testing.F) {
	for _, text := range []string{
		"# TYPE x_total counter\nx_total{code=\"503\",job=\"theirs\"} 7\n",
		"# TYPE d histogram\nd_bucket{le=\"0.5\"} 1\nd_bucket{le=\"+Inf\"} 2\nd_sum 3\nd_count 2\n",
		"g NaN\ng +Inf 1700000000000\n", "g{a=\"\\xff\"} 1\n", "x 1\nx 2\n", "x{", "",
	} {
		f.Add([]byte(text), "text/plain;version=0.0.4")
		f.Add([]byte(text+"# EOF\n"), "application/openmetrics-text;version=1.0.0")
	}
	f.Add(protobuf(f), "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		exposed, err := parseExposition(body, contentType, Target{Name: "svc", Job: "svc"})
		if err != nil {
			return
		}
		var id uint32
		state := &targetState{ids: map[string]*known{}, next: func() uint32 { id++; return id }}
		store := NewStore()
		for n := range 3 {
			sc := record.Scrape{At: time.Unix(int64(n), 0).UnixNano(), Source: "svc", Up: n != 1}
			if sc.Up {
				state.changes(exposed, &sc)
			}
			raw, err := json.Marshal(sc)
			require.NoError(t, err)
			var back record.Scrape
			require.NoError(t, json.Unmarshal(raw, &back))
			require.NoError(t, store.Append(back))
		}
		readAll(t, store)
	})
}

// protobuf is what a process with a native histogram exposes.
func protobuf(f *testing.F) []byte {
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "d_seconds", NativeHistogramBucketFactor: 1.1})
	reg.MustRegister(h)
	for _, v := range []float64{-1, 0, 0.1, 0.2, 30} {
		h.Observe(v)
	}
	families, err := reg.Gather()
	require.NoError(f, err)
	var buf bytes.Buffer
	enc := expfmt.NewEncoder(&buf, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, mf := range families {
		require.NoError(f, enc.Encode(mf))
	}
	return buf.Bytes()
}

// A record that was damaged may be refused; it must not be misread.
func FuzzAppend(f *testing.F) {
	f.Add(`{"at":1000000,"source":"a","up":true,"new":[{"id":1,"l":{"__name__":"x"},"type":"counter"}],"v":[{"id":1,"v":1}]}
{"at":2000000,"source":"a"}
{"at":3000000,"source":"a","up":true,"gone":[1]}`)
	f.Add(`{"at":1000000,"source":"a","up":true,"new":[{"id":1,"l":{"__name__":"h"},"type":"histogram"}],"h":[{"id":1,"schema":5,"n":2,"sum":1,"pos":[[3,1],[9,1]]}]}
{"at":2000000,"source":"a","up":true,"h":[{"id":1,"schema":5,"n":1,"sum":1,"pos":[[9,1],[3,1]]}]}`)
	f.Add(`{"at":1000000,"source":"a","up":true,"new":[{"id":1,"l":{"__name__":"h"},"type":"histogram"}]}
{"at":2000000,"source":"a"}
{"at":3000000,"source":"a","up":true}`)
	f.Fuzz(func(t *testing.T, lines string) {
		store := NewStore()
		for raw := range strings.Lines(lines) {
			var sc record.Scrape
			if json.Unmarshal([]byte(raw), &sc) == nil {
				_ = store.Append(sc)
			}
		}
		readAll(t, store)
	})
}

// readAll reads every sample of a store as a query would.
func readAll(t *testing.T, s *Store) {
	t.Helper()
	q, err := s.Querier(0, 0)
	require.NoError(t, err)
	defer q.Close()
	set := q.Select(context.Background(), true, nil)
	for set.Next() {
		it := set.At().Iterator(nil)
		last := int64(-1 << 63)
		for typ := it.Next(); typ != 0; typ = it.Next() {
			require.Greater(t, it.AtT(), last, "in order of time")
			last = it.AtT()
			total(it, typ)
		}
	}
	require.NoError(t, set.Err())
}

// An expression that is accepted is PromQL once the window is in it, and no use
// of the window is left over.
func FuzzExpand(f *testing.F) {
	for _, expr := range []string{
		"rate(x[$window])", `x{a="$window"}`, "x offset $window", "x offset -$window", "max_over_time(x[$window:$window])",
		"sum(x) / $window", "x # $window", "x[$windo]", "'\\'$window'", "`$window`", "-$window", "topk($window, x)", "x @ $window", "\"$window",
		"sum(a) - b{c=~'x'}", "99d9h9m", "x @ end()", "histogram_quantile(0.9, sum by (le) (rate(x_bucket[$window] smoothed)))",
	} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		for _, turn := range []func(string, time.Duration) (string, error){Expand, Increase} {
			out, err := turn(expr, 12*time.Second)
			if err != nil {
				continue
			}
			_, uses, err := parse(out)
			require.NoError(t, err, "%q became %q", expr, out)
			require.Zero(t, uses, "%q became %q", expr, out)
		}
	})
}
