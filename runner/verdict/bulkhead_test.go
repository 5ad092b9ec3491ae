package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

// besides is a world whose provider is slow under the fault, while every
// operation also looks at a page, which change may spoil.
func besides(change func(t time.Duration, x *record.Exchange)) *world {
	w := newWorld()
	w.wire = func(t time.Duration, id string) []record.Exchange {
		slow, page := request(edge, t, id), request("client -> gateway", t, id)
		page.Method, page.Path = "GET", "/products/tea"
		page.Dur = int64(10*ms) + int64(t)%7*int64(ms)
		if in(t, fault, recovery) {
			slow.Dur, slow.Fault = int64(3*time.Second), "slow"
			change(t, &page)
		}
		xs := []record.Exchange{slow}
		if page.Method != "" {
			xs = append(xs, page)
		}
		return xs
	}
	return w
}

func TestBulkhead(t *testing.T) {
	t.Parallel()
	const (
		route   = "unaffected: ['client -> gateway /products/*']"
		success = route + ", successAtLeast: 98%"
		fast    = route + ", slowdownAtMost: 2"
	)
	as := func(time.Duration, *record.Exchange) {}
	every := func(n int, do func(x *record.Exchange)) func(time.Duration, *record.Exchange) {
		i := 0
		return func(_ time.Duration, x *record.Exchange) {
			if i++; i%n == 0 {
				do(x)
			}
		}
	}
	refuse := func(x *record.Exchange) { x.Status = 503 }
	silent := besides(func(t time.Duration, x *record.Exchange) {
		if t > fault+6500*ms {
			x.Method = ""
		}
	})
	gone := besides(func(_ time.Duration, x *record.Exchange) { x.Method = "" })
	notSlow := besides(as)
	notSlow.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			r.Exchanges[i].Dur = int64(10 * ms)
		}
	}
	notAsked := besides(as)
	notAsked.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			if x := &r.Exchanges[i]; x.Path == "/products/tea" && r.T(x.At) < fault {
				x.Path = "/"
			}
		}
	}
	const other = "while payments -> psp-primary was slow, "
	for _, tt := range []struct {
		name, params string
		world        *world
		verdict      verdict.Verdict
		why          string
	}{
		{"as before", success + ", slowdownAtMost: 2", besides(as), verdict.Pass,
			"client -> gateway /products/*: 100% good (95%: 99.05% to 100%), client -> gateway /products/*: 1 times its time (95%: 0.99 to 1.01)"},
		{"every tenth fails", success, besides(every(10, refuse)), verdict.Fail, other + "10% of 400 requests on client -> gateway /products/* failed"},
		{"too few fail to tell", success, besides(every(50, refuse)), verdict.Inconclusive,
			"392 of 400 requests on client -> gateway /products/* were good: not sure to be at least 98%, it is on the bound"},
		{"three times as slow", fast, besides(every(1, func(x *record.Exchange) { x.Dur *= 3 })), verdict.Fail,
			other + "client -> gateway /products/* took 3 times its time, at most 2 is allowed"},
		{"now and then very slow", fast, besides(every(100, func(x *record.Exchange) { x.Dur *= 100 })), verdict.Inconclusive,
			"client -> gateway /products/*: 2.1 times its time (95%: 1.21 to 3.32): not sure to be at most 2, longer phases would decide"},
		{"silent", success, silent, verdict.Fail, other + "client -> gateway /products/* carried only 65.25% of its baseline traffic: its caller refuses"},
		{"wholly silent", success, gone, verdict.Fail, other + "client -> gateway /products/* carried only 0% of its baseline traffic: its caller refuses"},
		{"nothing was slow", success, notSlow, verdict.Inconclusive, "payments -> psp-primary was not slow: its median request took 10ms, 10ms in the baseline"},
		{"not asked before", success, notAsked, verdict.Inconclusive, "0 requests of client -> gateway /products/* in the baseline, 20 are needed"},
		{"an edge is a route", "unaffected: [gateway -> payments], successAtLeast: 98%", besides(as), verdict.Pass,
			"gateway -> payments: 100% good (95%: 99.05% to 100%)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, bulkhead: {edge: payments -> psp-primary, "+tt.params+"}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.why, f.Why)
		})
	}
	for params, want := range map[string]string{
		"unaffected: [gateway -> payments]":                        "s.yaml:14:25: bulkhead needs successAtLeast or slowdownAtMost",
		"unaffected: [payments -> psp-primary], slowdownAtMost: 2": "unaffected: payments -> psp-primary is the edge that is slow",
		"unaffected: [gateway -> paymentss /x], slowdownAtMost: 2": `unknown edge gateway -> paymentss (did you mean "gateway -> payments"?)`,
	} {
		assert.ErrorContains(t, verdict.Check(scenario(t, "{id: x, bulkhead: {edge: payments -> psp-primary, "+params+"}}"), system(t)).Err(), want)
	}
}
