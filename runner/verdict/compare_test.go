package verdict_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

// slowing lets only a share of the operations begin from the fault on, unevenly: keep of ten.
func slowing(keep int) *world {
	w := newWorld()
	chance := rand.New(rand.NewPCG(1, 2))
	w.started = func(t time.Duration) bool { return t < fault || chance.IntN(10) < keep }
	return w
}

func TestCompare(t *testing.T) {
	t.Parallel()
	const served = "{id: x, compare: 'sum(rate(squall_operations_total[$window]))', "
	short := newWorld()
	short.edit = func(r *record.Run) { r.Phases[2].To = fault + 3*time.Second }
	for _, tt := range []struct {
		name, expect string
		world        *world
		verdict      verdict.Verdict
		why          string
	}{
		{"the same", served + "atLeast: 0.9}", newWorld(), verdict.Pass, "was 40 on average in baseline and 40 in fault"},
		{"far less", served + "atLeast: 0.9}", slowing(5), verdict.Fail, "times baseline, not at least 0.9"},
		{"on the bound", served + "atLeast: 0.5}", slowing(5), verdict.Inconclusive, "not sure to be at least 0.5 times baseline"},
		{"less, and allowed", served + "atLeast: 0.3}", slowing(5), verdict.Pass, "on average in baseline and "},
		{"slices too few", served + "atLeast: 0.9}", short, verdict.Inconclusive, "and 6 slices in fault had"},
		{"longer slices", "{id: x, compare: {expr: 'sum(rate(squall_operations_total[$window]))', slice: 1s}, atLeast: 0.9}", newWorld(), verdict.Inconclusive,
			"6 slices of 1s in baseline and 10 slices in fault had a positive value, 8 are needed in each"},
		{"nothing there", "{id: x, compare: 'sum(rate(no_such_total[$window]))', atMost: 1}", newWorld(), verdict.Inconclusive, "0 slices of 500ms in baseline"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Contains(t, f.Why, tt.why)
		})
	}
}

// Of a native histogram no slice is lost between two scrapes.
func TestSlicesOfHistogramsAreWhole(t *testing.T) {
	w := newWorld()
	w.edit = func(r *record.Run) {
		for i, at := 0, time.Duration(0); at <= settle; i, at = i+1, at+300*time.Millisecond {
			s := record.Scrape{At: nanos(at), Source: "payments-more", Up: true, H: []record.HistValue{{ID: 90, Schema: 0, Count: uint64(12 * i), Sum: record.Float(12 * i), Pos: []record.Bucket{{0, int64(12 * i)}}}}}
			if i == 0 {
				s.New = []record.Series{{ID: 90, Labels: map[string]string{"__name__": "d_seconds"}, Type: "histogram"}}
				s.H[0].Pos = nil
			}
			r.Scrapes = append(r.Scrapes, s)
		}
		for i := range r.Scrapes { // the others are as far apart
			if s := &r.Scrapes[i]; s.Source != "payments-more" {
				s.At = nanos(r.T(s.At) * 6 / 5)
			}
		}
	}
	f := check(t, "{id: x, compare: 'histogram_avg(rate(d_seconds[$window]))', atMost: 1.2}", w)
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
	assert.Len(t, f.Series, 20, "every slice of the fault phase has a value")
}
