package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

// hanging has every call on gateway -> payments wait for as long as wait says
// under the fault, after which its caller leaves; payments begins its own call
// at the provider a while after it was asked.
func hanging(wait, begins time.Duration) *world {
	w := newWorld()
	w.wire = func(t time.Duration, id string) []record.Exchange {
		x := request(edge, t+ms, id)
		if in(t, fault, recovery) {
			x = request(edge, t+begins, id)
			x.Fault = "slow"
		}
		return []record.Exchange{x}
	}
	w.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			if x := &r.Exchanges[i]; x.Edge == "gateway -> payments" && in(r.T(x.At), fault, recovery) {
				x.Status, x.Error, x.Dur = 0, "caller-left", int64(wait)
			}
		}
	}
	return w
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	const wait, work, both = "waitAtMost: 500ms", "noWorkAfter: 50ms", "waitAtMost: 500ms, noWorkAfter: 50ms"
	harmless := hanging(400*ms, ms)
	harmless.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			r.Exchanges[i].Fault = ""
		}
	}
	quick := hanging(10*ms, ms)
	quick.edit = func(*record.Run) {}
	answered := hanging(400*ms, 600*ms)
	leaves := answered.edit
	answered.edit = func(r *record.Run) {
		leaves(r)
		for i := range r.Exchanges {
			if x := &r.Exchanges[i]; x.Error == "caller-left" {
				x.Status, x.Error = 202, ""
			}
		}
	}
	again := hanging(300*ms, 400*ms) // the caller asks again at once
	once := again.edit
	again.edit = func(r *record.Run) {
		once(r)
		for _, x := range r.Exchanges {
			if x.Error == "caller-left" {
				x.At, x.Status, x.Error = x.At+x.Dur, 200, ""
				r.Exchanges = append(r.Exchanges, x)
			}
		}
	}
	for _, tt := range []struct {
		name, params string
		world        *world
		verdict      verdict.Verdict
		why          string
	}{
		{"bounded", wait, hanging(400*ms, ms), verdict.Pass, "longest wait 400ms"},
		{"waits too long", wait, hanging(700*ms, ms), verdict.Fail, "the caller of gateway -> payments waited 700ms at 8s, at most 500ms is allowed"},
		{"nobody was made to wait", wait, quick, verdict.Inconclusive,
			"nobody waited for longer than 10ms on gateway -> payments, so a limit of 500ms was not tried"},
		{"no fault came near", both, harmless, verdict.Inconclusive, "no call on gateway -> payments, nor any behind it, was hit by a fault"},
		{"not a call", wait + ", path: /none", hanging(400*ms, ms), verdict.Inconclusive, "0 calls on gateway -> payments, 20 are needed"},
		{"other method", wait + ", method: get", hanging(400*ms, ms), verdict.Inconclusive, "0 calls on gateway -> payments, 20 are needed"},
		{"works while somebody waits", both, hanging(400*ms, 300*ms), verdict.Pass, "longest wait 400ms, 400 callers left, 0 calls begun after that"},
		{"within the grace", work, hanging(400*ms, 440*ms), verdict.Pass, "400 callers left, 0 calls begun after that"},
		{"works for nobody", work, hanging(400*ms, 600*ms), verdict.Fail,
			"400 calls begun behind gateway -> payments more than 50ms after the last caller had left, first op-0320 POST /charges on payments -> psp-primary at 8.6s, 200ms too late"},
		{"other work", work + ", workPath: /voids", hanging(400*ms, 600*ms), verdict.Pass, "400 callers left, 0 calls begun after that"},
		{"work after an answer", work, answered, verdict.Pass, "0 callers left, 0 calls begun after that"},
		{"somebody waits again", work, again, verdict.Pass, "400 callers left, 0 calls begun after that"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, timeout: {edge: gateway -> payments, "+tt.params+"}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.why, f.Why)
		})
	}
	f := check(t, "{id: x, timeout: {edge: gateway -> payments, noWorkAfter: 50ms}}", hanging(400*ms, 600*ms))
	assert.Len(t, f.Details, 20)

	for expect, want := range map[string]string{
		"{id: x, timeout: {edge: gateway -> payments}}":                               "s.yaml:14:24: timeout needs waitAtMost or noWorkAfter",
		"{id: x, timeout: {edge: gateway -> payments, waitAtMost: 1s, workPath: /x}}": "s.yaml:14:78: workPath: needs noWorkAfter",
		"{id: x, timeout: {edge: payments -> nats, waitAtMost: 1s}}":                  "timeout needs requests, so an http edge",
	} {
		assert.ErrorContains(t, verdict.Check(scenario(t, expect), system(t)).Err(), want)
	}
}

// The caller that waits again at the other instance does not wait for what the
// first one does.
func TestWorkIsForThoseWhoWaitAtThatInstance(t *testing.T) {
	w := hanging(300*ms, 400*ms)
	once := w.edit
	w.edit = func(r *record.Run) {
		once(r)
		for i := range r.Exchanges {
			x := &r.Exchanges[i]
			x.Edge = map[string]string{"gateway -> payments": "gateway -> payments-1", edge: "payments-1 -> psp-primary"}[x.Edge]
			if x.Error == "caller-left" {
				again := *x
				again.At, again.Edge, again.Status, again.Error = x.At+x.Dur, "gateway -> payments-2", 200, ""
				r.Exchanges = append(r.Exchanges, again)
			}
		}
	}
	f := checkPooled(t, "{id: x, timeout: {edge: gateway -> payments, noWorkAfter: 50ms}}", w)
	assert.Equal(t, verdict.Fail, f.Verdict, f.Why)
	assert.Contains(t, f.Why, "400 calls begun behind gateway -> payments more than 50ms after the last caller had left")
}
