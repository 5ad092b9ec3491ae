package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

// access is an operation on a register that lasts from..to, in milliseconds of
// the fault.
func access(name, detail string, from, to int, outcome record.Outcome) record.Operation {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	return record.Operation{At: nanos(fault + ms(from)), Dur: int64(ms(to - from)), Name: name, ID: detail + "@" + fmt.Sprint(from), Outcome: outcome, Detail: detail}
}

func put(detail string, from, to int) record.Operation {
	return access("put", detail, from, to, record.OK)
}

func get(detail string, from, to int) record.Operation {
	return access("get", detail, from, to, record.OK)
}

// registers is a world whose load writes and reads; more reads of another key
// make it enough.
func registers(ops ...record.Operation) *world {
	w := newWorld()
	w.edit = func(r *record.Run) {
		for i := range 50 {
			ops = append(ops, get("other=1", 100*i, 100*i+10))
		}
		r.Operations = append(r.Operations, ops...)
	}
	return w
}

func TestLinearizable(t *testing.T) {
	t.Parallel()
	lost := func(detail string, from int) record.Operation {
		return access("put", detail, from, from+50, record.Unknown)
	}
	for _, tt := range []struct {
		name    string
		ops     []record.Operation
		verdict verdict.Verdict
		why     string
	}{
		{"one after the other", []record.Operation{put("k=a", 0, 10), get("k=a", 20, 30), put("k=b", 40, 50), get("k=b", 60, 70)}, verdict.Pass, ""},
		{"a first read gives anything, and twice the same", []record.Operation{get("k=z", 0, 10), get("k=z", 20, 30), put("k=a", 40, 50), get("k=a", 60, 70)}, verdict.Pass, ""},
		{"a first read that changes its mind", []record.Operation{get("k=y", 0, 10), get("k=z", 20, 30)}, verdict.Fail,
			`k: read k=z@20 at 8.02s gave "z", which no order of its 0 writes explains; the last to end before it wrote ""`},
		{"stale", []record.Operation{put("k=a", 0, 10), put("k=b", 20, 30), get("k=a", 40, 50)}, verdict.Fail,
			`k: read k=a@40 at 8.04s gave "a", which no order of its 2 writes explains; the last to end before it wrote "b"`},
		{"never written", []record.Operation{put("k=a", 0, 10), get("k=b", 20, 30)}, verdict.Fail,
			`k: read k=b@20 at 8.02s gave "b", which no order of its 1 write explains; the last to end before it wrote "a"`},
		{"either, while it is written", []record.Operation{put("k=a", 0, 10), put("k=b", 20, 100), get("k=a", 30, 40), get("k=b", 50, 60)}, verdict.Pass, ""},
		{"there and back", []record.Operation{put("k=a", 0, 10), put("k=b", 20, 100), get("k=b", 30, 40), get("k=a", 50, 60)}, verdict.Fail,
			`k: read k=a@50 at 8.05s gave "a", which no order of its 2 writes explains; the last to end before it wrote "a"`},
		{"a lost write that took place late", []record.Operation{put("k=a", 0, 10), lost("k=b", 20), get("k=a", 200, 210), get("k=b", 220, 230)}, verdict.Pass, ""},
		{"a lost write that never took place", []record.Operation{put("k=a", 0, 10), lost("k=b", 20), get("k=a", 200, 210)}, verdict.Pass, ""},
		{"a lost write that came and went", []record.Operation{put("k=a", 0, 10), lost("k=b", 20), get("k=b", 200, 210), get("k=a", 220, 230)}, verdict.Fail,
			`k: read k=a@220 at 8.22s gave "a", which no order of its 2 writes explains; the last to end before it wrote "a"`},
		{"a failed write that was read", []record.Operation{put("k=a", 0, 10), access("put", "k=b", 20, 30, record.Failed), get("k=b", 40, 50)}, verdict.Fail,
			`k: read k=b@40 at 8.04s gave "b", which no order of its 1 write explains; the last to end before it wrote "a"`},
		{"reads without an answer", []record.Operation{put("k=a", 0, 10), access("get", "k=b", 20, 30, record.Failed), access("get", "", 40, 50, record.Unknown)}, verdict.Pass, ""},
		{"keys apart", []record.Operation{put("k=a", 0, 10), put("l=b", 20, 30), get("k=a", 40, 50), get("l=b", 40, 50)}, verdict.Pass, ""},
		{"a write that does not say", []record.Operation{put("k", 0, 10)}, verdict.Inconclusive, `put k@0 says "k", not KEY=VALUE`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, linearizable: {write: put, read: get}}", registers(tt.ops...))
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			if tt.verdict == verdict.Pass {
				tt.why = "every read can be explained by one order of the writes"
			}
			assert.Equal(t, tt.why, f.Why)
		})
	}
}

func TestLinearizableEvidence(t *testing.T) {
	t.Parallel()
	few := newWorld()
	few.edit = func(r *record.Run) { r.Operations = append(r.Operations, put("k=a", 0, 10), get("k=a", 20, 30)) }
	f := check(t, "{id: x, linearizable: {write: put, read: get}}", few)
	assert.Equal(t, verdict.Inconclusive, f.Verdict)
	assert.Equal(t, "1 get operation, 50 are needed", f.Why)

	// So many lost writes, of which none was ever read: every subset of them may have taken place.
	var ops []record.Operation
	for i := range 40 {
		ops = append(ops, access("put", fmt.Sprintf("k=%d", i), 0, 10, record.Unknown))
	}
	f = check(t, "{id: x, linearizable: {write: put, read: get}}", registers(append(ops, put("k=a", 20, 30), put("k=b", 40, 50), get("k=a", 60, 70))...))
	assert.Equal(t, verdict.Inconclusive, f.Verdict)
	assert.Equal(t, "the orders of 51 reads are too many to try, with 40 writes without a reply: fewer lost replies or more keys would decide", f.Why)
}

func TestLinearizableMeasures(t *testing.T) {
	f := check(t, "{id: x, linearizable: {write: put, read: get}}", registers(put("k=a", 0, 10), access("put", "k=b", 20, 30, record.Unknown), get("k=b", 40, 50)))
	assert.Equal(t, "51 reads of 2 keys, 1 write without a reply; 0 not linearizable", f.Measured)
	assert.Equal(t, 51, f.Samples)
}
