package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

func TestTrace(t *testing.T) {
	t.Parallel()
	const expect = `{id: x, trace: {edge: payments -> psp-primary, shows: [{service: payments, kind: client, attrs: {edge: payments -> *}, error: true}, {service: payments, event: fallback}]}}`
	// told is a world in which the first failing requests of the fault fail, and
	// the first so many of their traces tell why, as edit has it.
	told := func(failing, traced int, edit func(trace string, spans []record.TraceSpan) []record.TraceSpan) *world {
		w := newWorld()
		var spans []record.TraceSpan
		w.wire = func(at time.Duration, id string) []record.Exchange {
			x := request(edge, at, id)
			x.Trace = "trace-" + id
			if at >= fault && at < recovery && failing > 0 {
				failing--
				x.Status = 503
				if traced > 0 {
					traced--
					spans = append(spans, edit(x.Trace, []record.TraceSpan{
						{Trace: x.Trace, ID: id + "a", Parent: id + "-of-the-load", Service: "payments", Name: "POST /charges", Kind: "server", Events: []record.TraceEvent{{Name: "fallback"}}},
						{Trace: x.Trace, ID: id + "b", Parent: id + "a", Service: "payments", Instance: "payments-2", Name: "POST psp", Kind: "client", Error: true, Attrs: map[string]string{"edge": "payments -> psp-primary"}},
					})...)
				}
			}
			return []record.Exchange{x}
		}
		w.edit = func(r *record.Run) { r.Spans = append(spans, record.TraceSpan{Trace: "other"}) }
		return w
	}
	as := func(_ string, spans []record.TraceSpan) []record.TraceSpan { return spans }
	for _, tt := range []struct {
		name    string
		world   *world
		expect  string
		verdict verdict.Verdict
		why     string
	}{
		{"all told", told(40, 40, as), expect, verdict.Pass, "100% of 40 failed requests have such a trace"},
		{"some not", told(40, 30, as), expect, verdict.Fail, "30 of 40 failed requests have such a trace, not at least 100%; 8.8s POST /charges, trace trace-op-0350: no span"},
		{"no event", told(40, 40, func(_ string, s []record.TraceSpan) []record.TraceSpan { s[0].Events = nil; return s }), expect, verdict.Fail, "0 times fallback of payments, not 1"},
		{"another edge", told(40, 40, func(_ string, s []record.TraceSpan) []record.TraceSpan { s[1].Attrs = nil; return s }), expect, verdict.Fail, "0 times a span of payments"},
		{"no failure in it", told(40, 40, func(_ string, s []record.TraceSpan) []record.TraceSpan { s[1].Error = false; return s }), expect, verdict.Fail, "0 times a span of payments"},
		{"a broken tree", told(40, 40, func(_ string, s []record.TraceSpan) []record.TraceSpan { s[1].Parent = "lost"; return s }), expect, verdict.Fail, "the parent of POST psp of payments is missing"},
		{"attempts", told(40, 40, as), `{id: x, trace: {edge: payments -> psp-primary, shows: [{kind: client, times: 2}]}}`, verdict.Fail, "1 times a span kind client, not 2"},
		{"one instance", told(40, 40, as), `{id: x, trace: {edge: payments -> psp-primary, shows: [{service: payments-2, kind: client}]}}`, verdict.Pass, ""},
		{"another instance", told(40, 40, as), `{id: x, trace: {edge: payments -> psp-primary, shows: [{service: payments-1, kind: client}]}}`, verdict.Fail, "0 times a span of payments-1"},
		{"a share", told(40, 30, as), `{id: x, trace: {edge: payments -> psp-primary, shows: [{service: payments}]}, atLeast: 70%}`, verdict.Pass, ""},
		{"other paths", told(40, 40, as), `{id: x, trace: {edge: payments -> psp-primary, path: /voids, shows: [{service: payments}]}}`, verdict.Inconclusive, "0 failed requests with a trace"},
		{"few", told(9, 9, as), expect, verdict.Inconclusive, "9 failed requests with a trace on payments -> psp-primary, 10 are needed"},
		{"no spans", func() *world { w := told(40, 40, as); w.edit = func(*record.Run) {}; return w }(), expect, verdict.Inconclusive, "no span was received"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Contains(t, f.Why, tt.why)
		})
	}
	j, ps := verdict.NewJudge(scenario(t, expect), system(t))
	assert.Empty(t, ps)
	assert.True(t, j.NeedsSpans())
	sys := system(t)
	sys.Spec.Traces = nil
	ps = verdict.Check(scenario(t, expect), sys)
	assert.Contains(t, fmt.Sprint(ps), "the system file does not say how services export traces")
}
