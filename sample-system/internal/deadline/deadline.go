// Package deadline passes on how long the caller will wait.
//
// Answers: work for somebody who has gone. After a stall every queue is full of
// it, and a service that does it in order serves only the dead. Each call says
// in a header how many ms are left; the callee refuses what has none left, also
// after queueing, and everything it does ends when they have passed or the
// caller has hung up.
// Numbers: what is left is counted in whole ms, so the header does not need
// clocks that agree; the way itself, well below 1 ms here, is not subtracted.
// Costs: a header; and work that was nearly done is thrown away.
// Breaks without it: scenario impatient-customers, TestExpired. Off switch: D09, neither
// passed on nor looked at.
package deadline

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"squall/sample-system/internal/defect"
)

// Header holds the ms that the caller will still wait.
const Header = "X-Deadline-Ms"

// longest is the most that a header may ask for; more is as good as none.
const longest = time.Hour

type offKey struct{}

// With prepares a context that calls will be made from.
func With(ctx context.Context, defects defect.Set) context.Context {
	if defects.Has(defect.DeadlineIgnored) {
		return context.WithValue(ctx, offKey{}, true)
	}
	return ctx
}

func off(ctx context.Context) bool { return ctx.Value(offKey{}) != nil }

// Caller is how long the caller of a request waits.
type Caller struct {
	request context.Context // ends when the caller hangs up
	at      time.Time       // zero: it did not say
}

// From is the context to serve a request in, and its caller. The context ends
// with the caller's patience.
func From(r *http.Request, defects defect.Set) (context.Context, context.CancelFunc, Caller) {
	c := Caller{request: r.Context()}
	if left, ok := parse(r.Header.Get(Header)); ok {
		c.at = time.Now().Add(left)
	}
	if defects.Has(defect.DeadlineIgnored) {
		return With(context.WithoutCancel(r.Context()), defects), func() {}, c
	}
	if c.at.IsZero() {
		return r.Context(), func() {}, c
	}
	ctx, cancel := context.WithDeadline(r.Context(), c.at)
	return ctx, cancel, c
}

// Expired reports whether work in ctx is for nobody any more.
func Expired(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true
	}
	at, ok := ctx.Deadline()
	return ok && !time.Now().Before(at) // the timer may be late
}

// Gone reports whether an answer given now comes too late.
func (c Caller) Gone() bool {
	return c.request.Err() != nil || !c.at.IsZero() && !time.Now().Before(c.at)
}

// Inject writes what is left of ctx into the headers of a call.
func Inject(ctx context.Context, header http.Header) {
	at, ok := ctx.Deadline()
	if !ok || off(ctx) {
		return
	}
	left := max(0, time.Until(at).Milliseconds())
	header.Set(Header, strconv.FormatInt(left, 10))
}

// parse reads the header. What is no number of ms is no deadline: it comes from
// outside, and must not fail a request.
func parse(v string) (time.Duration, bool) {
	ms, err := strconv.ParseUint(v, 10, 32)
	if err != nil || ms > uint64(longest.Milliseconds()) {
		return 0, false
	}
	return time.Duration(ms) * time.Millisecond, true
}
