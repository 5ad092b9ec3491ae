package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

const toFirst, toSecond = "gateway -> payments-1", "gateway -> payments-2"

// fleet is a run in which payments-1 is killed and started again, and its calls
// go where choose says.
func fleet(choose func(t time.Duration, n int) string) *world {
	w := newWorld()
	w.events = faultEvents("slow", "proc-kill", "payments-1", record.Receipt{Hits: 1, Unit: "processes"})
	n := 0
	w.wire = func(t time.Duration, id string) []record.Exchange {
		n++
		x := request(choose(t, n), t, id)
		x.Conn = 1
		if x.Edge == toFirst && t >= fault && t < recovery {
			x.Status, x.Error, x.Sent = 0, "refused", false
		}
		return []record.Exchange{x}
	}
	return w
}

// until is balanced calling, with all calls on the second one from so long after
// the kill to the undo.
func until(left time.Duration) func(time.Duration, int) string {
	return func(t time.Duration, n int) string {
		if n%2 == 0 || t >= fault+left && t < recovery {
			return toSecond
		}
		return toFirst
	}
}

func TestFailoverLeaves(t *testing.T) {
	sys := pooled(t)
	judged := func(params string, w *world) verdict.Finding {
		return find(t, judgeOn(t, sys, scenario(t, "{id: x, failover: {edge: gateway -> payments, "+params+"}}"), w), "x")
	}
	assert.Equal(t, verdict.Pass, judged("leavesWithin: 3s", fleet(until(2*time.Second))).Verdict)
	late := judged("leavesWithin: 3s", fleet(until(4*time.Second)))
	assert.Equal(t, verdict.Fail, late.Verdict)
	assert.Equal(t, "19 calls on gateway -> payments to an instance that had been gone for more than 3s, the last 3.95s after its end", late.Why)
	assert.Equal(t, verdict.Inconclusive, judged("leavesWithin: 9500ms", fleet(until(2*time.Second))).Verdict, "back too soon")
	alive := fleet(until(2 * time.Second))
	alive.events = faultEvents("slow", "net-latency", "client -> gateway", record.Receipt{Hits: 1, Unit: "requests"})
	assert.Contains(t, judged("leavesWithin: 3s", alive).Why, "no fault hit an instance")
	cut := fleet(until(2 * time.Second))
	cut.events = faultEvents("slow", "net-down", "payments-1 -> nats", record.Receipt{Hits: 1, Unit: "requests"})
	assert.Equal(t, verdict.Pass, judged("leavesWithin: 3s", cut).Verdict, "one whose own calls are hit is gone as well")
}

func TestFailoverGap(t *testing.T) {
	silent := func(from, to time.Duration) *world {
		w := newWorld()
		w.wire = func(at time.Duration, id string) []record.Exchange {
			x := request(edge, at, id)
			if in(at, from, to) {
				x.Status = 503
			}
			return []record.Exchange{x}
		}
		return w
	}
	gap := "{id: x, failover: {edge: payments -> psp-primary, gapAtMost: 2s}}"
	assert.Equal(t, verdict.Pass, check(t, gap, silent(fault+time.Second, fault+2900*time.Millisecond)).Verdict)
	f := check(t, gap, silent(fault+time.Second, fault+3*time.Second))
	assert.Equal(t, verdict.Fail, f.Verdict)
	assert.Equal(t, "payments -> psp-primary had no good answer for 2.03s from 9.0s on, at most 2s are allowed", f.Why)
	assert.Equal(t, verdict.Fail, check(t, gap, silent(fault+time.Second, settle)).Verdict, "a gap need not end")
	assert.Equal(t, verdict.Inconclusive, check(t, gap, silent(baseline, baseline+2*time.Second)).Verdict, "no traffic to see a gap in")
	none := newWorld()
	none.wire = func(time.Duration, string) []record.Exchange { return nil }
	assert.Equal(t, verdict.Inconclusive, check(t, gap, none).Verdict)
}

func TestFailoverUnanswered(t *testing.T) {
	cut := func(n int, how string) *world {
		w := newWorld()
		w.wire = func(at time.Duration, id string) []record.Exchange {
			x := request(edge, at, id)
			if n > 0 && at > fault+time.Second {
				n--
				x.Status, x.Error = 0, how
			}
			return []record.Exchange{x}
		}
		return w
	}
	one := "{id: x, failover: {edge: payments -> psp-primary, unansweredAtMost: 1}}"
	assert.Equal(t, verdict.Pass, check(t, one, cut(1, "upstream-closed")).Verdict)
	assert.Equal(t, verdict.Fail, check(t, one, cut(2, "upstream-closed")).Verdict)
	assert.Equal(t, verdict.Pass, check(t, one, cut(9, "caller-left")).Verdict, "who did not wait was not failed")
}

func TestFailoverDials(t *testing.T) {
	dialling := func(opens func(at time.Duration) bool) *world {
		w := newWorld()
		conn := uint64(1)
		w.wire = func(at time.Duration, id string) []record.Exchange {
			x := request(edge, at, id)
			if opens(at) {
				conn++
			}
			x.Conn = conn
			return []record.Exchange{x}
		}
		return w
	}
	few := "{id: x, failover: {edge: payments -> psp-primary, dialsAtMost: 10}}"
	assert.Equal(t, verdict.Pass, check(t, few, dialling(func(at time.Duration) bool { return at%(100*time.Millisecond) == 0 })).Verdict)
	assert.Equal(t, verdict.Pass, check(t, few, dialling(func(at time.Duration) bool { return at < recovery })).Verdict, "before the faults are gone")
	f := check(t, few, dialling(func(at time.Duration) bool { return in(at, recovery+time.Second, recovery+2*time.Second) }))
	assert.Equal(t, verdict.Fail, f.Verdict)
	assert.Contains(t, f.Why, "opened 40 connections in one second")
}

func TestFailoverParams(t *testing.T) {
	for expect, want := range map[string]string{
		"{id: x, failover: {edge: payments -> psp-primary}}":         "failover needs gapAtMost, unansweredAtMost, leavesWithin or dialsAtMost",
		"{id: x, failover: {edge: payments -> nats, gapAtMost: 1s}}": "speaks nats",
		"{id: x, writers: {books: nothing}}":                         `unknown ledger source "nothing"`,
	} {
		ps := verdict.Check(scenario(t, expect), system(t))
		require.Len(t, ps, 1, expect)
		assert.Contains(t, ps[0].Error(), want)
	}
}

func TestWriters(t *testing.T) {
	// Rows are "writer term", one a second.
	ledger := func(rows ...string) *world {
		w := newWorld()
		for i, text := range rows {
			var writer, term string
			_, _ = fmt.Sscan(text, &writer, &term)
			w.audit = append(w.audit, record.AuditRow{Source: "charges", ID: fmt.Sprint(i), At: nanos(fault + time.Duration(i)*time.Second),
				Attrs: map[string]string{"writer": writer, "term": term}})
		}
		return w
	}
	for _, tt := range []struct {
		name    string
		rows    []string
		verdict verdict.Verdict
		why     string
	}{
		{"handed over", []string{"a 3", "a 3", "b 4", "b 4", "a 6"}, verdict.Pass, "nobody wrote after a successor"},
		{"wrote on", []string{"a 3", "a 3", "b 4", "a 3", "b 4"}, verdict.Fail, "in charges: a wrote 3 at 11.00s in term 3, after b had written in term 4"},
		{"two in a term", []string{"a 3", "b 4", "a 4", "b 4", "b 4"}, verdict.Fail, "in charges: a wrote 2 at 10.00s in term 4, which is b's"},
		{"nobody took over", []string{"a 3", "a 3", "a 3", "a 3", "a 3"}, verdict.Inconclusive, "0 changes of term in charges, 1 are needed: nobody took over"},
		{"few rows", []string{"a 3", "b 4"}, verdict.Inconclusive, "2 rows in charges, 5 are needed"},
		{"no terms", []string{"a", "a", "a", "a", "a"}, verdict.Inconclusive, "row 0 does not say writer and term"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, writers: {books: charges}}", ledger(tt.rows...))
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}
