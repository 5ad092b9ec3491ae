package reports

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

// killed is a run in which the only instance of payments is away from 3 s to
// 6 s. Its breaker is open before, and closed after; its queue is as it was.
func killed() *record.Run {
	began := time.Unix(1_700_000_000, 0)
	look := func(sec int, up bool, v ...record.Value) record.Scrape {
		return record.Scrape{At: began.Add(time.Duration(sec) * time.Second).UnixNano(), Source: "payments", Up: up, V: v}
	}
	run := &record.Run{Header: record.Header{Started: began}, Last: 8 * time.Second}
	run.Scrapes = []record.Scrape{
		look(0, true, record.Value{ID: 1, V: 0}, record.Value{ID: 2, V: 1}, record.Value{ID: 3, V: 5}),
		look(1, true, record.Value{ID: 1, V: 2}, record.Value{ID: 2, V: 7}),
		look(2, true), look(3, false), look(4, false), look(5, false),
		look(6, true, record.Value{ID: 1, V: 0}),
		look(7, true),
	}
	run.Scrapes[7].Gone = []uint32{2}
	for id, name := range []string{"breaker_state", "outbox_pending", "steady_pending"} {
		run.Scrapes[0].New = append(run.Scrapes[0].New, record.Series{ID: uint32(id + 1), Type: "gauge",
			Labels: map[string]string{"__name__": name, "instance": "payments", "job": "payments"}})
	}
	return run
}

// A dead instance says nothing: neither its breaker nor its queue is as it was last.
func TestTracksOfADeadInstanceHaveAGap(t *testing.T) {
	gap := math.NaN()
	points := func(match func(string) bool) (ts []time.Duration, vs []float64) {
		found := tracks(killed(), match)
		require.Len(t, found, 1, "a series that only has a gap does not move")
		for _, p := range found[0].Points {
			ts, vs = append(ts, p.T/time.Second), append(vs, float64(p.V))
		}
		return ts, vs
	}
	same := func(want, got []float64) {
		require.Len(t, got, len(want))
		for i := range want {
			assert.True(t, want[i] == got[i] || math.IsNaN(want[i]) && math.IsNaN(got[i]), "%v, want %v", got, want)
		}
	}
	ts, vs := points(isBreaker)
	assert.Equal(t, []time.Duration{0, 1, 3, 6}, ts)
	same([]float64{0, 2, gap, 0}, vs)
	ts, vs = points(isQueue)
	assert.Equal(t, []time.Duration{0, 1, 3, 6, 7}, ts)
	same([]float64{1, 7, gap, 7, gap}, vs)
}

func TestLanesOfADeadInstanceHaveAGap(t *testing.T) {
	digest := Digested(Input{Run: killed()})
	d := &drawing{run: killed(), digest: digest, to: 8 * time.Second}
	d.breakerLanes()
	assert.Contains(t, d.plot.b.String(), "<title>open, 1.0 s to 3.0 s</title>")

	d = &drawing{run: killed(), digest: digest, to: 8 * time.Second}
	d.gaugeLanes()
	assert.Equal(t, 2, strings.Count(d.plot.b.String(), "M"), "a line before the gap and one after it")
	assert.NotContains(t, d.plot.b.String(), "NaN")

	var rows []string
	for _, r := range changes(digest) {
		if strings.HasPrefix(r.What, "breaker") {
			rows = append(rows, seconds(r.T)+" "+r.Became)
		}
	}
	assert.Equal(t, []string{"0.0 s closed", "1.0 s open", "3.0 s no data", "6.0 s closed"}, rows)
}
