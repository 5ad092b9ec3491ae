package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

const ms = time.Millisecond

// pausing repeats every tenth call of the fault phase twice, with pauses that
// the nth such call chooses.
func pausing(pauses func(n int) (first, second time.Duration)) *world {
	w := newWorld()
	i := 0
	w.wire = func(t time.Duration, id string) []record.Exchange {
		xs := []record.Exchange{request(edge, t, id)}
		xs[0].Key = id
		if i++; !in(t, fault, recovery-time.Second) || i%10 != 0 {
			return xs
		}
		first, second := pauses(i / 10)
		for _, p := range []time.Duration{first, second} {
			last := &xs[len(xs)-1]
			last.Status = 503
			next := *last
			next.At, next.Status = last.At+last.Dur+int64(p), 200
			xs = append(xs, next)
		}
		return xs
	}
	return w
}

func backingOff(n int) (first, second time.Duration) {
	return time.Duration(25+n%6*5) * ms, time.Duration(50+n%5*12) * ms
}

func TestRetryPauses(t *testing.T) {
	t.Parallel()
	fixed := func(int) (first, second time.Duration) { return 50 * ms, 50 * ms }
	unsure := func(n int) (first, second time.Duration) {
		return 50 * ms, []time.Duration{10 * ms, 20 * ms, 180 * ms}[n*n*n%31%3]
	}
	noPause := func(n int) (first, second time.Duration) { return time.Duration(n%4) * ms, time.Duration(n%3) * ms }
	hedged := pausing(func(int) (first, second time.Duration) { return -5 * ms, -5 * ms })
	few := pausing(backingOff)
	usual := few.wire
	few.wire = func(t time.Duration, id string) []record.Exchange {
		xs := usual(t, id)
		if t > fault+1500*ms {
			return xs[:1]
		}
		return xs
	}
	const growing, spread = "spacingGrows: true", "jitter: true"
	for _, tt := range []struct {
		name, params string
		world        *world
		verdict      verdict.Verdict
		why          string
	}{
		{"pauses grow", growing, pausing(backingOff), verdict.Pass,
			"amplification 1.18 over 400 calls, pauses of 37.5ms, then 74.3ms (1.98 times, 95%: 1.78 to 2.22)"},
		{"pauses do not grow", growing, pausing(fixed), verdict.Fail, "pauses between attempts on payments -> psp-primary do not grow: 50ms, then 50ms"},
		{"pauses that may grow", growing, pausing(unsure), verdict.Inconclusive,
			"pauses of 50ms, then 78.9ms (1.58 times, 95%: 1.07 to 2.12): not sure to grow by 1.25, more calls with three attempts would decide"},
		{"no pause that could grow", growing, pausing(noPause), verdict.Fail,
			"calls on payments -> psp-primary are repeated at once, 1.5ms after a failure and again 1ms after that"},
		{"too few that could grow", growing, few, verdict.Inconclusive, "6 calls on payments -> psp-primary had two pauses to compare, 8 are needed"},
		{"hedged attempts have no pause", growing, hedged, verdict.Inconclusive, "0 calls on payments -> psp-primary had two pauses to compare, 8 are needed"},
		{"nothing repeated", growing, newWorld(), verdict.Inconclusive, "no retry was provoked on payments -> psp-primary"},
		{"jitter", spread, pausing(backingOff), verdict.Pass, "amplification 1.18 over 400 calls, first pauses from 25ms to 50ms"},
		{"in step", spread, pausing(fixed), verdict.Fail,
			"pauses on payments -> psp-primary have no jitter: four fifths of them last 50ms to 50ms, so callers come back in step"},
		{"at once, though not in step", spread, pausing(noPause), verdict.Fail,
			"calls on payments -> psp-primary are repeated at once, most within 3ms of a failure"},
		{"too few to spread", spread, few, verdict.Inconclusive, "6 calls on payments -> psp-primary had a pause, 8 are needed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, retry: {edge: payments->psp-primary, "+tt.params+"}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}

// answering gives all attempts of the fault phase the same answer, and repeats
// every nth call once, as the key says of attempt 0 and 1.
func answering(status, every int, key func(id string, n int) string) *world {
	w := newWorld()
	i := 0
	w.wire = func(t time.Duration, id string) []record.Exchange {
		xs := []record.Exchange{request(edge, t, id)}
		xs[0].Key = key(id, 0)
		if !in(t, fault, recovery) {
			return xs
		}
		xs[0].Status = status
		if i++; i%every == 0 {
			again := request(edge, t+100*ms, id)
			again.Key = key(id, 1)
			xs = append(xs, again)
		}
		return xs
	}
	return w
}

func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	same := func(id string, _ int) string { return id }
	own := func(id string, n int) string { return id + []string{"", "-again"}[n] }
	lost := func(id string, n int) string { return []string{id, ""}[n] }
	none := func(string, int) string { return "" }
	reading := answering(503, 10, none)
	reading.edit = func(r *record.Run) {
		for i := range r.Exchanges {
			r.Exchanges[i].Method = "GET"
		}
	}
	const never = 1000
	for _, tt := range []struct {
		name, params string
		world        *world
		verdict      verdict.Verdict
		why          string
	}{
		{"refusals stay", "finalNotRepeated: true", answering(409, never, same), verdict.Pass, "amplification 1 over 400 calls, 400 refusals"},
		{"a refusal is repeated", "finalNotRepeated: true", answering(409, 300, same), verdict.Fail,
			"op-0619 was repeated on payments -> psp-primary although the answer was 409"},
		{"429 may be repeated", "finalNotRepeated: true", answering(429, 10, same), verdict.Inconclusive, "0 refusals on payments -> psp-primary, 20 are needed"},
		{"nothing was refused", "finalNotRepeated: true", answering(503, 10, same), verdict.Inconclusive, "0 refusals on payments -> psp-primary, 20 are needed"},
		{"one key", "keyed: true", answering(503, 10, same), verdict.Pass, "amplification 1.1 over 400 calls, 39 keyed calls repeated"},
		{"a key for each attempt", "keyed: true", answering(503, 300, own), verdict.Fail,
			"POST of op-0619 was repeated on payments -> psp-primary under another Idempotency-Key"},
		{"the second without a key", "keyed: true", answering(503, 300, lost), verdict.Fail,
			"POST of op-0619 was repeated on payments -> psp-primary without an Idempotency-Key"},
		{"no key at all", "keyed: true", answering(503, 300, none), verdict.Fail,
			"POST of op-0619 was repeated on payments -> psp-primary without an Idempotency-Key"},
		{"reads need no key", "keyed: true", reading, verdict.Inconclusive, "no POST or PATCH was repeated on payments -> psp-primary"},
		{"nothing repeated", "keyed: true", newWorld(), verdict.Inconclusive, "no retry was provoked on payments -> psp-primary"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, retry: {edge: payments->psp-primary, "+tt.params+"}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}

// Two layers that repeat twice each: no call is repeated more than that, but the
// operation is.
func TestLayersMultiply(t *testing.T) {
	layered := newWorld()
	layered.wire = func(t time.Duration, id string) []record.Exchange {
		xs := []record.Exchange{request(edge, t, id)}
		if !in(t, fault, recovery-time.Second) {
			return xs
		}
		for n := range 3 {
			x := request(edge, t+time.Duration(n+1)*50*ms, id)
			x.Path = []string{"/charges", "/again", "/again"}[n]
			xs = append(xs, x)
		}
		return xs
	}
	f := check(t, "{id: x, retry: {edge: payments -> psp-primary, attemptsAtMost: 2}}", layered)
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
	f = check(t, "{id: x, retry: {edge: payments -> psp-primary, per: operation, attemptsAtMost: 2, amplificationAtMost: 5}}", layered)
	assert.Equal(t, verdict.Fail, f.Verdict)
	assert.Equal(t, "an operation on payments -> psp-primary was attempted 4 times, at most 2 are allowed", f.Why)
	assert.Equal(t, "4 attempts, amplification 3.7 over 400 operations", f.Measured)
	f = check(t, "{id: x, retry: {edge: payments -> psp-primary, per: operation, amplificationAtMost: 3.5}}", layered)
	assert.Equal(t, "payments -> psp-primary carried 3.7 attempts per operation, at most 3.5 are allowed", f.Why)

	assert.ErrorContains(t, verdict.Check(scenario(t, "{id: x, retry: {edge: payments -> psp-primary, per: operation, jitter: true}}"), system(t)).Err(),
		"s.yaml:14:59: per: operation counts attempts only; spacingGrows, jitter, finalNotRepeated and keyed are about single calls")
}
