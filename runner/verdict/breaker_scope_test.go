package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

const backup = "payments -> psp-backup"

// withBackup adds a second provider, which is asked where the first is not.
func withBackup(w *world, asked func(t time.Duration) bool) *world {
	usual := w.wire
	w.wire = func(t time.Duration, id string) []record.Exchange {
		xs := usual(t, id)
		if asked(t) {
			xs = append(xs, request(backup, t, id))
		}
		return xs
	}
	return w
}

func TestBreakerScope(t *testing.T) {
	t.Parallel()
	never := func(time.Duration) bool { return false }
	under := func(t time.Duration) bool { return in(t, fault, recovery) }
	always := func(time.Duration) bool { return true }
	half := func(t time.Duration) bool { return t < fault || t >= recovery || t%(100*ms) == 0 }
	seldom := func(t time.Duration) bool { return t%(100*ms) == 0 }
	opening := func() *world { return tripping(600*ms, 2*time.Second, 1) }
	short := tripping(9500*ms, 2*time.Second, 1)
	for _, tt := range []struct {
		name, params string
		world        *world
		verdict      verdict.Verdict
		why          string
	}{
		{"opens soon enough", "opensAfter: 24", opening(), verdict.Pass, "opened after 575ms, after 24 calls"},
		{"takes too many calls", "opensAfter: 20", opening(), verdict.Fail, "payments made 24 calls on payments -> psp-primary until its breaker was open, at most 20 are allowed"},
		{"the fallback carries on", "others: [payments -> psp-backup]", withBackup(opening(), under), verdict.Pass, "opened after 575ms, payments -> psp-backup at 99.73% of its rate"},
		{"another edge carries on", "others: [payments -> psp-backup]", withBackup(opening(), always), verdict.Pass, "opened after 575ms, payments -> psp-backup at 99.73% of its rate"},
		{"an edge that was never asked much", "others: [payments -> psp-backup]", withBackup(opening(), seldom), verdict.Pass, "opened after 575ms, payments -> psp-backup at 99.73% of its rate"},
		{"the fallback is refused too", "others: [payments -> psp-backup]", withBackup(opening(), never), verdict.Fail,
			"while the breaker on payments -> psp-primary was open, payments -> psp-backup carried only 0% of what it should: they share a breaker"},
		{"the other edge is refused too", "others: [payments -> psp-backup]", withBackup(opening(), half), verdict.Fail,
			"while the breaker on payments -> psp-primary was open, payments -> psp-backup carried only 24.93% of what it should: they share a breaker"},
		{"open for too short", "others: [payments -> psp-backup]", withBackup(short, always), verdict.Inconclusive,
			"the breaker on payments -> psp-primary was open for 525ms only, too short to look at payments -> psp-backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			expect := "{id: x, breaker: {edge: payments -> psp-primary, " + tt.params + "}}"
			f := find(t, judgeOn(t, twoProviders(t), scenario(t, expect), tt.world), "x")
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.why, f.Why)
		})
	}
	f := find(t, judgeOn(t, twoProviders(t), scenario(t, "{id: x, breaker: {edge: payments -> psp-primary, opensAfter: 24, others: [payments -> psp-backup]}}"), opening()), "x")
	assert.Equal(t, "opens before the fault is gone after at most 24 calls, leaves payments -> psp-backup alone", f.Expected)

	for params, want := range map[string]string{
		"others: [payments -> psp-primary]": "others: payments -> psp-primary is no other edge of the caller of payments -> psp-primary",
		"others: [gateway -> payments]":     "others: gateway -> payments is no other edge of the caller of payments -> psp-primary",
		"others: [gateway -> paymentss]":    `unknown edge gateway -> paymentss (did you mean "gateway -> payments"?)`,
		"staysClosed: true, opensAfter: 3":  "s.yaml:14:69: staysClosed: a breaker that stays closed neither opens nor closes",
	} {
		err := verdict.Check(scenario(t, "{id: x, breaker: {edge: payments -> psp-primary, "+params+"}}"), twoProviders(t)).Err()
		assert.ErrorContains(t, err, want)
	}
}

func TestBreakerStaysClosed(t *testing.T) {
	refusing := func(w *world) *world {
		usual := w.wire
		w.wire = func(t time.Duration, id string) []record.Exchange {
			xs := usual(t, id)
			for i := range xs {
				if in(t, fault, recovery) {
					xs[i].Status, xs[i].Error, xs[i].Fault = 402, "", "slow"
				}
			}
			return xs
		}
		return w
	}
	unasked := refusing(newWorld())
	unasked.started = func(t time.Duration) bool { return !in(t, fault+2*time.Second, recovery) }
	for _, tt := range []struct {
		name    string
		world   *world
		verdict verdict.Verdict
		why     string
	}{
		{"refusals", refusing(newWorld()), verdict.Pass, "400 calls hit, never open"},
		{"opens on refusals", refusing(tripping(600*ms, time.Second, 1)), verdict.Fail,
			"the breaker on payments -> psp-primary opened 575ms after the injection, on answers that are no failures"},
		{"nothing was refused", newWorld(), verdict.Inconclusive, "0 calls on payments -> psp-primary were hit by the fault, 20 are needed"},
		{"silent for want of demand", unasked, verdict.Inconclusive, "payments -> psp-primary fell silent, and so did what its caller is asked or answers"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, breaker: {edge: payments -> psp-primary, staysClosed: true}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.why, f.Why)
			assert.Equal(t, "stays closed", f.Expected)
		})
	}
	live := refusing(newWorld())
	live.stop = fault + 3*time.Second
	assert.True(t, check(t, "{id: x, breaker: {edge: payments -> psp-primary, staysClosed: true}}", live).Pending, "it may still open")
}
