package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

func TestFallback(t *testing.T) {
	const expect = `{id: x, fallback: {dependency: payments -> psp-primary, edge: client -> gateway, path: /products/tea, json: {partial.0: reviews}}}`
	whole := record.Probe{OK: true, Value: 200, Text: `{"sku":"tea"}`}
	marked := record.Probe{OK: true, Value: 200, Text: `{"sku":"tea","partial":["reviews"]}`}
	// degrading answers with under while the dependency fails, and with before else.
	degrading := func(before, under record.Probe) *world {
		w := probed(func(at time.Duration) record.Probe {
			if in(at, fault, recovery) {
				return under
			}
			return before
		})
		w.wire = func(at time.Duration, id string) []record.Exchange {
			x := request(edge, at, id)
			if in(at, fault, recovery) {
				x.Status = 503
			}
			return []record.Exchange{x}
		}
		return w
	}
	for _, tt := range []struct {
		name    string
		world   *world
		expect  string
		verdict verdict.Verdict
		why     string
	}{
		{"served and marked", degrading(whole, marked), expect, verdict.Pass, "20 of 20 answers"},
		{"served and not marked", degrading(whole, whole), expect, verdict.Fail, `0 of 20 answers were good and marked; at 8.0s partial.0 is "", not "reviews"`},
		{"not served", degrading(whole, record.Probe{OK: true, Value: 503}), expect, verdict.Fail, "0 of 20 answers were good and marked; at 8.0s status 503"},
		{"marked all along", degrading(marked, marked), expect, verdict.Fail, "the answer at 2.0s was marked, before the fault"},
		{"a dependency that works", func() *world { w := degrading(whole, marked); w.wire = newWorld().wire; return w }(), expect, verdict.Inconclusive,
			"payments -> psp-primary did not fail: 400 of 400 requests were answered well"},
		{"a dependency that nobody needs", func() *world {
			w := degrading(whole, marked)
			w.wire = func(time.Duration, string) []record.Exchange { return nil }
			return w
		}(), expect, verdict.Inconclusive, "nobody asked payments -> psp-primary in the baseline"},
		{"nobody looked", func() *world { w := degrading(whole, marked); w.edit = func(*record.Run) {}; return w }(), expect, verdict.Inconclusive,
			"0 looks in the baseline, 3 are needed"},
		{"time to notice", degrading(whole, marked), `{id: x, fallback: {dependency: payments -> psp-primary, edge: client -> gateway, path: /, after: 9s, json: {partial.0: reviews}}}`,
			verdict.Inconclusive, "2 looks under the fault, 3 are needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Contains(t, f.Why, tt.why)
		})
	}
}

func TestFallbackProblems(t *testing.T) {
	for expect, want := range map[string]string{
		`{id: x, fallback: {dependency: payments -> psp-primary, edge: client -> gateway, path: /}}`:                           "fallback needs a mark: has, contains or json",
		`{id: x, fallback: {dependency: payments -> psp, edge: client -> gateway, path: /, contains: a}}`:                      "unknown edge payments -> psp",
		`{id: x, fallback: {dependency: payments -> psp-primary, edge: gateway -> payments, path: /, contains: a}}`:            "is no http edge of the client",
		`{id: x, fallback: {dependency: payments -> psp-primary, edge: client -> gateway, path: /, contains: a}, during: run}`: "chooses its own window",
	} {
		ps := verdict.Check(scenario(t, expect), system(t))
		if assert.NotEmpty(t, ps, expect) {
			assert.Contains(t, ps[0].Msg, want)
		}
	}
}
