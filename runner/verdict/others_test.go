package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

const othersSystem = `apiVersion: squall/v1
kind: System
metadata: {name: staging}
spec:
  target: remote
  services:
    payments: {at: {http: "10.0.0.1:80"}, metrics: /metrics}
    psp-primary: {at: {http: "10.0.0.2:80"}}
  edges:
    payments -> psp-primary: {protocol: http, through: {SERVER: "http://10.0.0.3:8474", proxy: psp}}
`

// Without load of its own a scenario is judged by what others do: nobody may be
// taken for a system that held.
func TestTrafficOfOthers(t *testing.T) {
	t.Parallel()
	silent := func(from, to time.Duration) func(*world) {
		return func(w *world) {
			w.wire = func(at time.Duration, id string) []record.Exchange {
				if at >= from && at < to {
					return nil
				}
				return []record.Exchange{request(edge, at, id)}
			}
		}
	}
	for _, tt := range []struct {
		name, server, steady string
		change               func(*world)
		verdict              verdict.Verdict
		why                  string
	}{
		{"seen", "squall", `promql: 'sum(queue_depth)', below: 100`, func(*world) {}, verdict.Pass, "others used the system in every phase"},
		{"nobody before", "squall", `promql: 'sum(queue_depth)', below: 100`, silent(0, fault), verdict.Inconclusive, "nobody used the system in phase baseline"},
		{"kept away by the fault", "squall", `promql: 'sum(queue_depth)', below: 100`, silent(fault, recovery), verdict.Pass, "others used the system in every phase"},
		{"nobody comes back", "squall", `promql: 'sum(queue_depth)', below: 100`, silent(recovery, end), verdict.Inconclusive, "nobody used the system in phase recovery"},
		{"nobody tells", "toxiproxy", `promql: 'sum(queue_depth)', atLeast: 1`, func(*world) {}, verdict.Pass,
			"no squall proxy sees the system's traffic: the steady state says that there is some"},
		{"nobody asks", "toxiproxy", `promql: 'sum(queue_depth)', below: 100`, func(*world) {}, verdict.Inconclusive,
			"no squall proxy sees the system's traffic, and no check of the steady state wants any (atLeast, above)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sys, ps := spec.ParseSystem("system.yaml", []byte(strings.Replace(othersSystem, "SERVER", tt.server, 1)))
			require.Empty(t, ps)
			load := "  load: {script: s.js, arrival: 40/s}\n"
			text := scenarioText("{id: ok, "+tt.steady+", minSamples: 1}", "{id: x, promql: 'sum(queue_depth)', atLeast: 1, minSamples: 1}", "")
			require.Contains(t, text, load)
			w := newWorld()
			tt.change(w)
			w.edit = func(r *record.Run) { r.Operations, r.Loads = nil, nil; onlyEdge(r, edge); onlySource(r, "payments") }
			got := judgeOn(t, sys, parse(t, strings.Replace(text, load, "", 1)), w)
			f := find(t, got, verdict.LoadLaw)
			assert.Equal(t, tt.verdict, f.Verdict, "%s %v", f.Why, f.Details)
			assert.Equal(t, tt.why, f.Why)
			assert.Equal(t, tt.verdict, got.Verdict, got.Sentence)
		})
	}
}

func onlyEdge(r *record.Run, edge string) {
	kept := r.Exchanges[:0:0]
	for _, x := range r.Exchanges {
		if x.Edge == edge {
			kept = append(kept, x)
		}
	}
	r.Exchanges = kept
}

func onlySource(r *record.Run, source string) {
	kept := r.Scrapes[:0:0]
	for _, s := range r.Scrapes {
		if s.Source == source {
			kept = append(kept, s)
		}
	}
	r.Scrapes = kept
}
