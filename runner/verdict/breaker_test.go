package verdict_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

// tripping is a payments service whose breaker opens a while after the fault,
// lets a burst of trial calls through every two seconds, and closes a while
// after the fault is gone.
func tripping(opens, closes time.Duration, burst int) *world {
	w := newWorld()
	w.wire = func(t time.Duration, id string) []record.Exchange {
		x := request(edge, t, id)
		switch {
		case t < fault || t >= recovery+closes:
			return []record.Exchange{x}
		case t < recovery:
			x.Status, x.Error, x.Dur, x.Fault = 0, "caller-left", int64(400*time.Millisecond), "slow"
		}
		if t < fault+opens {
			return []record.Exchange{x}
		}
		since := t - fault - opens
		if t < recovery && since >= 2*time.Second && since%(2*time.Second) < time.Duration(burst)*time.Second/rate {
			return []record.Exchange{x}
		}
		return nil
	}
	return w
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	const all = "{id: x, breaker: {edge: payments -> psp-primary, opensWithin: 3s, trialCallsAtMost: 3, closesWithin: 5s}}"
	stuck := newWorld()
	stuck.wire = func(t time.Duration, id string) []record.Exchange {
		if in(t, fault+time.Second, recovery) {
			return nil
		}
		return []record.Exchange{request(edge, t, id)}
	}
	stuck.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			if x := &r.Exchanges[i]; in(r.T(x.At), fault+time.Second, recovery) {
				x.Status, x.Error = 0, "caller-left"
			}
		}
	}
	noDemand := newWorld()
	noDemand.started = func(t time.Duration) bool { return !in(t, fault, recovery) }
	idle := newWorld()
	idle.wire = func(time.Duration, string) []record.Exchange { return nil }
	gappy := newWorld()
	gappy.wire = func(t time.Duration, id string) []record.Exchange {
		if in(t, 4*time.Second, 6*time.Second) {
			return nil
		}
		return []record.Exchange{request(edge, t, id)}
	}
	down := tripping(0, 0, 0)
	down.events = faultEvents("slow", "net-down", edge, record.Receipt{Hits: 4, Unit: "connections"})
	slowAnswers := newWorld()
	slowAnswers.started = func(t time.Duration) bool { return !in(t, fault, recovery) }
	slowAnswers.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			r.Exchanges[i].Dur = int64(1900 * time.Millisecond)
		}
	}
	healedEarly := tripping(time.Second, 0, 1)
	usual := healedEarly.wire
	healedEarly.wire = func(t time.Duration, id string) []record.Exchange {
		if in(t, recovery-500*time.Millisecond, recovery) { // the revert takes this long to return
			return []record.Exchange{request(edge, t, id)}
		}
		return usual(t, id)
	}
	cutShort := newWorld()
	for i := range cutShort.events {
		if cutShort.events[i].T >= recovery {
			cutShort.events[i].T = fault + 2*time.Second
		}
	}
	afterwards := tripping(time.Second, time.Hour, 1)
	afterwards.started = func(t time.Duration) bool { return t < recovery }

	for _, tt := range []struct {
		name     string
		expect   string
		world    *world
		verdict  verdict.Verdict
		measured string
		why      string
	}{
		{"a whole life", all, tripping(600*time.Millisecond, 2*time.Second, 1), verdict.Pass,
			"opened after 575ms, at most 1 trial call at a time, closed after 2s", ""},
		{"as many trials as allowed", all, tripping(600*time.Millisecond, 2*time.Second, 3), verdict.Pass,
			"opened after 575ms, at most 3 trial calls at a time, closed after 2s", ""},
		{"too many trials", all, tripping(600*time.Millisecond, 2*time.Second, 5), verdict.Fail,
			"opened after 575ms, at most 5 trial calls at a time, closed after 2s",
			"the open breaker on payments -> psp-primary let 5 calls through at once at 10.6s, at most 3 are allowed"},
		{"opens too late", all, tripping(4*time.Second, time.Second, 1), verdict.Fail,
			"opened after 3.98s, at most 1 trial call at a time, closed after 1s",
			"the breaker on payments -> psp-primary opened only after 3.98s (needed within 3s)"},
		{"never opens", all, newWorld(), verdict.Fail, "never opened", "the breaker on payments -> psp-primary never opened (needed within 3s)"},
		{"never closes", all, tripping(time.Second, time.Hour, 1), verdict.Fail,
			"opened after 975ms, at most 1 trial call at a time, not closed",
			"the breaker on payments -> psp-primary did not close again: 10s after the fault the edge still carries less than half its traffic"},
		{"fault cut short", all, cutShort, verdict.Inconclusive, "never opened",
			"the fault on payments -> psp-primary stood for 2s only, the breaker has 3s to open"},
		{"closes too late", all, tripping(time.Second, 6*time.Second, 1), verdict.Fail,
			"opened after 975ms, at most 1 trial call at a time, closed after 6s",
			"the breaker on payments -> psp-primary closed only after 6s (needed within 5s)"},
		{"a stuck caller is not an open breaker", all, stuck, verdict.Fail, "never opened",
			"payments -> psp-primary fell silent because its caller was stuck, not because a breaker opened (needed within 3s)"},
		{"no demand is not an open breaker", all, noDemand, verdict.Inconclusive, "never opened",
			"payments -> psp-primary fell silent, but so did what its caller is asked"},
		{"answers to old demand are no demand", all, slowAnswers, verdict.Inconclusive, "never opened",
			"payments -> psp-primary fell silent, but so did what its caller is asked"},
		{"traffic after a success is no trial", all, healedEarly, verdict.Pass,
			"opened after 975ms, at most 1 trial call at a time, closed after 0s", ""},
		{"no demand after the fault", all, afterwards, verdict.Inconclusive, "opened after 975ms, at most 1 trial call at a time, not closed",
			"after the fault nothing asked the caller of payments -> psp-primary"},
		{"edge without traffic", all, idle, verdict.Inconclusive, "", "0 calls on payments -> psp-primary in the baseline, 20 are needed"},
		{"silent by itself", all, gappy, verdict.Inconclusive, "",
			"payments -> psp-primary falls silent for a second in the baseline already, so an open breaker cannot be told"},
		{"refused dials are unseen", all, down, verdict.Inconclusive, "",
			"net-down refuses connections, so calls on payments -> psp-primary cannot be seen at the wire; use net-timeout or http-error"},
		{"fails fast", "{id: x, breaker: {edge: payments -> psp-primary, failsFastUnder: 50ms}}", tripping(time.Second, 0, 1), verdict.Pass,
			"opened after 975ms, 95% answered in 10ms", ""},
		{"does not fail fast", "{id: x, breaker: {edge: payments -> psp-primary, failsFastUnder: 10ms}}", tripping(time.Second, 0, 1), verdict.Fail,
			"opened after 975ms, 95% answered in 10ms",
			"with the breaker on payments -> psp-primary open, 95% of the answers took up to 10ms, not under 10ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, tt.expect, tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.measured, f.Measured)
			assert.Equal(t, cmp.Or(tt.why, tt.measured), f.Why)
			assert.Equal(t, edge, f.Edge)
			assert.False(t, f.Pending)
		})
	}
}

func TestBreakerStandsOnFaultsFurtherAway(t *testing.T) {
	w := tripping(600*time.Millisecond, time.Second, 1)
	w.events = faultEvents("slow", "proc-kill", "somewhere", record.Receipt{Hits: 1, Unit: "processes"})
	f := check(t, "{id: x, breaker: {edge: payments -> psp-primary, opensWithin: 3s}}", w)
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
}

// retrying repeats every nth call of the fault phase.
func retrying(every, attempts int) *world {
	w := newWorld()
	i := 0
	w.wire = func(t time.Duration, id string) []record.Exchange {
		xs := []record.Exchange{request(edge, t, id)}
		if i++; !in(t, fault, recovery-time.Second) || i%every != 0 {
			return xs
		}
		for n := 1; n < attempts; n++ {
			xs[n-1].Status, xs[n-1].Error = 0, "reset"
			xs = append(xs, request(edge, t+time.Duration(n)*100*time.Millisecond, id))
		}
		return xs
	}
	return w
}

func TestRetry(t *testing.T) {
	t.Parallel()
	anonymous := retrying(10, 2)
	anonymous.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			r.Exchanges[i].Op = ""
		}
	}
	idle := newWorld()
	idle.wire = func(time.Duration, string) []record.Exchange { return nil }
	for _, tt := range []struct {
		name, params string
		world        *world
		verdict      verdict.Verdict
		expected     string
		measured     string
		why          string
	}{
		{"bounded", "attemptsAtMost: 3", retrying(10, 3), verdict.Pass, "at most 3 attempts", "3 attempts, amplification 1.18 over 400 calls", ""},
		{"one too many", "attemptsAtMost: 2", retrying(10, 3), verdict.Fail, "at most 2 attempts", "3 attempts, amplification 1.18 over 400 calls",
			"a call on payments -> psp-primary was attempted 3 times, at most 2 are allowed"},
		{"amplification", "amplificationAtMost: 1.18", retrying(10, 3), verdict.Pass, "amplification at most 1.18", "amplification 1.18 over 400 calls", ""},
		{"too much amplification", "{attemptsAtMost: 5, amplificationAtMost: 2}", retrying(1, 4), verdict.Fail, "at most 5 attempts, amplification at most 2",
			"4 attempts, amplification 3.7 over 400 calls", "payments -> psp-primary carried 3.7 attempts per call, at most 2 are allowed"},
		{"no retry provoked", "attemptsAtMost: 3", newWorld(), verdict.Inconclusive, "at most 3 attempts", "1 attempt, amplification 1 over 400 calls",
			"no retry was provoked on payments -> psp-primary"},
		{"none expected", "expectNone: true", newWorld(), verdict.Pass, "no retry", "1 attempt, amplification 1 over 400 calls", ""},
		{"none expected, one seen", "expectNone: true", retrying(300, 2), verdict.Fail, "no retry", "2 attempts, amplification 1 over 400 calls",
			"a call on payments -> psp-primary was attempted 2 times, at most 1 are allowed"},
		{"no operation ids", "attemptsAtMost: 3", anonymous, verdict.Inconclusive, "at most 3 attempts", "0 attempts, amplification 0 over 0 calls",
			"436 requests on payments -> psp-primary carry no X-Request-Id, so attempts cannot be told from calls"},
		{"no traffic", "attemptsAtMost: 3", idle, verdict.Inconclusive, "at most 3 attempts", "0 attempts, amplification 0 over 0 calls",
			"0 calls on payments -> psp-primary, 20 are needed"},
		{"other path", "{attemptsAtMost: 3, path: /refunds}", retrying(10, 9), verdict.Inconclusive, "at most 3 attempts", "0 attempts, amplification 0 over 0 calls",
			"0 calls on payments -> psp-primary, 20 are needed"},
		{"path and method", "{attemptsAtMost: 3, path: /char*, method: post}", retrying(10, 4), verdict.Fail, "at most 3 attempts",
			"4 attempts, amplification 1.27 over 400 calls", "a call on payments -> psp-primary was attempted 4 times, at most 3 are allowed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			params := tt.params
			if params[0] == '{' {
				params = params[1 : len(params)-1]
			}
			f := check(t, "{id: x, retry: {edge: payments->psp-primary, "+params+"}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.expected, f.Expected)
			assert.Equal(t, tt.measured, f.Measured)
			assert.Equal(t, cmp.Or(tt.why, tt.measured), f.Why)
		})
	}
}

func TestRetryListsTheWorstCalls(t *testing.T) {
	f := check(t, "{id: x, retry: {edge: payments -> psp-primary, attemptsAtMost: 2}}", retrying(10, 3))
	assert.Len(t, f.Details, 20)
	assert.Equal(t, "op-0329: POST /charges at 8.23s: reset, +100ms reset, +100ms 200", f.Details[0])
	assert.Equal(t, "and 17 more", f.Details[19])
}
