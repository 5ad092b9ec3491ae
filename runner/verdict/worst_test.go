package verdict_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// Whatever is measured of single requests, rows, lines or looks says which
// instant to look at first.
func TestEveryKindTellsItsWorstInstant(t *testing.T) {
	t.Parallel()
	step := time.Second / rate
	refused := 0
	outage := newWorld()
	outage.outcome = func(at time.Duration) record.Outcome {
		if in(at, fault, recovery) {
			return record.Failed
		}
		return record.OK
	}
	logged := newWorld()
	logged.logs(t, logLine(fault+time.Second, ""), logLine(fault+2*time.Second, ""))
	untold := newWorld()
	untold.wire = func(at time.Duration, id string) []record.Exchange {
		x := request(edge, at, id)
		if x.Trace = id; at >= fault+2*time.Second {
			x.Status = 503
		}
		return []record.Exchange{x}
	}
	was := untold.edit
	untold.edit = func(r *record.Run) { was(r); r.Spans = []record.TraceSpan{{Trace: "other"}} }
	lost := kept(record.OK)
	lost.audit = lost.audit[:len(lost.audit)-len(done(op(418)))]
	dead := map[string]string{"cause": "malformed"}
	turns := newWorld()
	for i, row := range [][2]string{{"a", "3"}, {"b", "4"}, {"a", "3"}, {"a", "3"}, {"b", "4"}} {
		turns.audit = append(turns.audit, record.AuditRow{Source: "charges", At: nanos(fault + time.Duration(i)*time.Second), Attrs: map[string]string{"writer": row[0], "term": row[1]}})
	}
	for _, tt := range []struct {
		name, expect string
		world        *world
		worst        time.Duration
	}{
		{"the longest wait", "timeout: {edge: gateway -> payments, waitAtMost: 500ms}", hanging(700*ms, ms), fault},
		{"opened", "breaker: {edge: payments -> psp-primary, opensWithin: 500ms}", tripping(time.Second, 0, 1), fault + 975*ms},
		{"opened after too many calls", "breaker: {edge: payments -> psp-primary, opensAfter: 3}", tripping(time.Second, 0, 1), fault + 975*ms},
		{"opened for nothing", "breaker: {edge: payments -> psp-primary, staysClosed: true}", tripping(time.Second, 0, 1), fault + 975*ms},
		{"never opened", "breaker: {edge: payments -> psp-primary, opensWithin: 3s}", newWorld(), recovery},
		{"a large burst", "breaker: {edge: payments -> psp-primary, trialCallsAtMost: 3}", tripping(time.Second, 0, 5), fault + 3*time.Second},
		{"closed late", "breaker: {edge: payments -> psp-primary, closesWithin: 1s}", tripping(time.Second, 3*time.Second, 1), recovery + 3*time.Second},
		{"most attempts", "retry: {edge: payments -> psp-primary, attemptsAtMost: 2}", retrying(10, 3), fault + 9*step},
		{"the first lost", "ledger: {operation: checkout, accountedBy: [charges, reservations], balancedBy: [money], terminal: orders}", lost, fault + 98*step},
		{"the first bad look", "http: {service: payments, path: /, status: 503}", probed(func(time.Duration) record.Probe { return record.Probe{OK: true, Value: 200} }), fault},
		{"the first line", "log: {service: payments, contains: failed}, atMost: 0", logged, fault + time.Second},
		{"the first untold", "trace: {edge: payments -> psp-primary, shows: [{service: payments}]}", untold, fault + 2*time.Second},
		{"when it fired", "alert: {slo: checkout, hour: 20s, within: 2s}", outage, fault + 3*time.Second},
		{"the slowest letter", "dlq: {queue: dlq, fault: slow, within: 3s}", letters(letter("m-1", time.Second, dead), letter("m-10", 4*time.Second, dead)), fault + 4*time.Second},
		{"out of turn", "writers: {books: charges}", turns, fault + 2*time.Second},
		{"the first refused", "bulkhead: {edge: payments -> psp-primary, unaffected: ['client -> gateway /products/*'], successAtLeast: 98%}", besides(func(_ time.Duration, x *record.Exchange) {
			if refused++; refused%10 == 0 {
				x.Status = 503
			}
		}), fault + 9*step},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, "+tt.expect+"}", tt.world)
			assert.Equal(t, verdict.Fail, f.Verdict, f.Why)
			require.NotNil(t, f.Worst)
			assert.InDelta(t, tt.worst.Seconds(), f.Worst.Seconds(), 0.002)
		})
	}
}
