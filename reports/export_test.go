package reports

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

// measured is a record of one counter and one native histogram, with a source that is away once.
func measured() *record.Run {
	run := &record.Run{Header: record.Header{Started: time.Unix(1_700_000_000, 0)}}
	at := func(sec int64) int64 { return run.Header.Started.UnixNano() + sec*1e9 }
	l := func(name string) map[string]string {
		return map[string]string{"__name__": name, "job": "a", "instance": "a-1", "path": "/x\"\n\\"}
	}
	run.Scrapes = []record.Scrape{
		{At: at(0), Source: "a-1", Up: true, New: []record.Series{{ID: 1, Labels: l("requests_total"), Type: "counter"}, {ID: 2, Labels: l("took_seconds"), Type: "histogram"}},
			V: []record.Value{{ID: 1, V: 1}}, H: []record.HistValue{{ID: 2, Count: 3, Sum: 6.5, Zero: 1, ZeroT: 0.001, Pos: []record.Bucket{{1, 1}, {3, 1}}}}},
		{At: at(1), Source: "a-1", Up: true},
		{At: at(2), Source: "a-1"},
		{At: at(3), Source: "a-1", Up: true, V: []record.Value{{ID: 1, V: 5}}},
		{At: at(4), Source: "a-1", Up: true, Gone: []uint32{1}},
	}
	run.Spans = []record.TraceSpan{{At: at(1), Dur: 5, Trace: strings.Repeat("ab", 16), ID: strings.Repeat("cd", 8), Service: "a", Name: "GET /", Kind: "server", Error: true}}
	run.Exchanges = []record.Exchange{{At: at(1), Dur: 5, Edge: "a -> b", Method: "GET", Path: "/", Status: 503, Trace: strings.Repeat("ab", 16)}, {At: at(1), Edge: "a -> b"}}
	return run
}

// Prometheus' own parser reads it, and finds every sample at its time.
func TestExportPrometheus(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, ExportPrometheus(&b, measured()))
	require.True(t, strings.HasSuffix(b.String(), "# EOF\n"))
	p := textparse.NewOpenMetricsParser(b.Bytes(), labels.NewSymbolTable())
	got := map[string][]float64{}
	for {
		entry, err := p.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if entry != textparse.EntrySeries {
			continue
		}
		_, ts, v := p.Series()
		require.NotNil(t, ts)
		var l labels.Labels
		p.Labels(&l)
		assert.Equal(t, "/x\"\n\\", l.Get("path"))
		key := l.Get("__name__")
		if le := l.Get("le"); le != "" {
			key += " " + le
		}
		got[key] = append(got[key], float64(*ts-1_700_000_000_000)/1000, v)
	}
	assert.Equal(t, []float64{0, 1, 1, 1, 3, 5}, got["requests_total"], "nothing while the source was away, nothing after it was gone")
	assert.Equal(t, []float64{0, 3, 1, 3, 3, 3, 4, 3}, got["took_seconds_count"])
	assert.Equal(t, []float64{0, 1, 1, 1, 3, 1, 4, 1}, got["took_seconds_bucket 0.001"])
	assert.Equal(t, []float64{0, 2, 1, 2, 3, 2, 4, 2}, got["took_seconds_bucket 2"])
	assert.Equal(t, []float64{0, 3, 1, 3, 3, 3, 4, 3}, got["took_seconds_bucket 8"])
	assert.Equal(t, []float64{0, 3, 1, 3, 3, 3, 4, 3}, got["took_seconds_bucket +Inf"])
}

func TestExportOTLP(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, ExportOTLP(&b, measured()))
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	require.Len(t, lines, 4, "two series, a span, an exchange of a trace")
	for _, l := range lines {
		require.True(t, json.Valid([]byte(l)), l)
	}
	assert.Contains(t, lines[0], `"name":"requests_total","sum":{"dataPoints":[`)
	assert.Contains(t, lines[0], `"aggregationTemporality":2,"isMonotonic":true`)
	assert.Contains(t, lines[1], `"positive":{"offset":0,"bucketCounts":["1","0","1"]}`, "OTLP numbers buckets by their lower end")
	assert.Contains(t, lines[2], `"spanId":"cdcdcdcdcdcdcdcd"`)
	assert.Contains(t, lines[2], `"status":{"code":2}`)
	assert.Contains(t, lines[3], `"key":"http.response.status_code","value":{"stringValue":"503"}`)
}

func TestExportCSV(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, ExportCSV(&b, measured()))
	rows, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+3+2*4)
	assert.Equal(t, []string{"2023-11-14T22:13:23Z", "3", "requests_total"}, rows[3][:3])
	assert.Equal(t, "5", rows[3][4])
}
