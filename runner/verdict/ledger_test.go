package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

const bookkept = "{id: x, ledger: {operation: checkout, accountedBy: [charges, reservations], balancedBy: [money], terminal: orders}}"

// op is the id of the nth operation.
func op(n int) string { return fmt.Sprintf("op-%04d", n) }

// row is one effect.
func row(source, key string, effect int) record.AuditRow {
	return record.AuditRow{Source: source, Key: key, Effect: effect, At: nanos(recovery)}
}

// done are the rows of an operation that took place.
func done(key string) []record.AuditRow {
	return []record.AuditRow{row("charges", key, 1), row("reservations", key, 1), row("money-a", key, 1), {Source: "orders", Key: key, State: "confirmed"}}
}

// undone are the rows of one that was compensated.
func undone(key string) []record.AuditRow {
	return []record.AuditRow{
		row("charges", key, 1), row("charges", key, -1), row("reservations", key, 1), row("reservations", key, -1),
		row("money-a", key, 1), row("money-a", key, -1), {Source: "orders", Key: key, State: "cancelled"},
	}
}

// kept is a world of 100 operations with books; the last has its own outcome
// and rows.
func kept(outcome record.Outcome, rows ...record.AuditRow) *world {
	w := newWorld()
	w.started = func(t time.Duration) bool { return in(t, fault, fault+100*time.Second/rate) }
	w.outcome = func(t time.Duration) record.Outcome {
		if t == fault+99*time.Second/rate {
			return outcome
		}
		return record.OK
	}
	for n := range 99 {
		w.audit = append(w.audit, done(op(320+n))...)
	}
	w.audit = append(w.audit, rows...)
	return w
}

func rows(all ...any) (out []record.AuditRow) {
	for _, a := range all {
		switch a := a.(type) {
		case record.AuditRow:
			out = append(out, a)
		case []record.AuditRow:
			out = append(out, a...)
		}
	}
	return out
}

func TestLedger(t *testing.T) {
	last := op(419)
	pending := record.AuditRow{Source: "orders", Key: last, State: "pending"}
	for _, tt := range []struct {
		name    string
		outcome record.Outcome
		rows    []record.AuditRow
		verdict verdict.Verdict
		flaws   string
		detail  string
	}{
		{"done", record.OK, done(last), verdict.Pass, "", ""},
		{"done by the second provider", record.OK, rows(row("charges", last, 1), row("reservations", last, 1), row("money-a", last, 1), row("money-a", last, -1),
			row("money-b", last, 1), record.AuditRow{Source: "orders", Key: last, State: "confirmed"}), verdict.Pass, "", ""},
		{"failed and undone", record.Failed, undone(last), verdict.Pass, "", ""},
		{"failed before it began", record.Failed, nil, verdict.Pass, "", ""},
		{"unknown and done", record.Unknown, done(last), verdict.Pass, "", ""},
		{"unknown and undone", record.Unknown, undone(last), verdict.Pass, "", ""},
		{"unknown and never seen", record.Unknown, nil, verdict.Pass, "", ""},
		{"lost", record.OK, nil, verdict.Fail, "1 lost, 0 doubled, 0 half-done", "lost: op-0419: ok, charges +0 -0, reservations +0 -0, money +0 -0, orders none"},
		{"ok but undone", record.OK, undone(last), verdict.Fail, "1 lost, 0 doubled, 0 half-done", ""},
		{"charged twice", record.OK, rows(done(last), row("charges", last, 1)), verdict.Fail, "0 lost, 1 doubled, 0 half-done",
			"doubled: op-0419: ok, charges +2 -0, reservations +1 -0, money +1 -0, orders confirmed"},
		{"charged twice at the providers", record.OK, rows(done(last), row("money-b", last, 1)), verdict.Fail, "0 lost, 1 doubled, 0 half-done", ""},
		{"no money moved", record.OK, rows(done(last), row("money-a", last, -1)), verdict.Fail, "1 lost, 0 doubled, 0 half-done", ""},
		{"refunded twice", record.Failed, rows(undone(last), row("charges", last, -1)), verdict.Fail, "0 lost, 1 doubled, 0 half-done", ""},
		{"failed and kept", record.Failed, rows(undone(last), row("money-b", last, 1)), verdict.Fail, "0 lost, 0 doubled, 1 half-done", ""},
		{"failed and done", record.Failed, done(last), verdict.Fail, "0 lost, 0 doubled, 1 half-done", ""},
		{"unknown and half", record.Unknown, rows(row("charges", last, 1), row("money-a", last, 1)), verdict.Fail, "0 lost, 0 doubled, 1 half-done", ""},
		{"unknown, paid for nothing", record.Unknown, rows(row("money-a", last, 1)), verdict.Fail, "0 lost, 0 doubled, 1 half-done", ""},
		{"unknown and charged twice", record.Unknown, rows(done(last), row("charges", last, 1)), verdict.Fail, "0 lost, 1 doubled, 0 half-done", ""},
		{"pending", record.Unknown, rows(pending), verdict.Fail, "0 lost, 0 doubled, 0 half-done, 1 pending", "pending: op-0419: unknown, charges +0 -0, reservations +0 -0, money +0 -0, orders pending"},
		{"confirmed but undone", record.Failed, rows(record.AuditRow{Source: "orders", Key: last, State: "confirmed"}), verdict.Fail, "0 lost, 0 doubled, 1 half-done", ""},
		{"done but cancelled", record.Unknown, rows(row("charges", last, 1), row("reservations", last, 1), row("money-a", last, 1),
			record.AuditRow{Source: "orders", Key: last, State: "cancelled"}), verdict.Fail, "0 lost, 0 doubled, 1 half-done", ""},
		{"unexplained", record.OK, rows(done(last), row("charges", "ghost", 1)), verdict.Fail, "0 lost, 0 doubled, 0 half-done, 1 unexplained",
			"unexplained: ghost: no operation, charges +1 -0, reservations +0 -0, money +0 -0, orders none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, bookkept, kept(tt.outcome, tt.rows...))
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, 100, f.Samples)
			if tt.verdict == verdict.Pass {
				assert.Empty(t, f.Details)
				return
			}
			assert.Contains(t, f.Measured, "; "+tt.flaws)
			assert.Equal(t, "the books disagree with 1 checkout operation: "+tt.flaws, f.Why)
			assert.Len(t, f.Details, 1)
			if tt.detail != "" {
				assert.Equal(t, tt.detail, f.Details[0])
			}
		})
	}
}

func TestLedgerEvidence(t *testing.T) {
	with := func(edit func(*record.Run)) *world {
		w := kept(record.OK, done(op(419))...)
		w.edit = edit
		return w
	}
	unread := with(func(r *record.Run) { r.Audit = nil })
	failed := with(func(r *record.Run) {
		r.Entries = append(r.Entries, books("charges", true, ""), books("reservations", false, "GET /audit: 500"))
	})
	few := with(func(r *record.Run) { r.Operations, r.Audit = r.Operations[:49], r.Audit[:49*4] })
	fewAndLost := with(func(r *record.Run) { r.Operations, r.Audit = r.Operations[:49], r.Audit[:48*4] })
	for _, tt := range []struct {
		name    string
		world   *world
		verdict verdict.Verdict
		why     string
	}{
		{"complete", with(func(*record.Run) {}), verdict.Pass, "the books hold every operation as it was answered"},
		{"no books", unread, verdict.Inconclusive, "the record has no books of charges"},
		{"a source that failed", failed, verdict.Inconclusive, "the books of reservations could not be read: GET /audit: 500"},
		{"too few operations", few, verdict.Inconclusive, "49 checkout operations, 50 are needed"},
		{"one lost is proof", fewAndLost, verdict.Fail, "the books disagree with 1 checkout operation: 1 lost, 0 doubled, 0 half-done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, bookkept, tt.world)
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}

// An operation that was cut off with the generator has no line, but its
// request was seen: it may be done or undone, like any other unknown one.
func TestLedgerKnowsInterruptedOperationsFromTheWire(t *testing.T) {
	w := kept(record.OK, rows(done(op(419)), done("cut-off"))...)
	assert.Equal(t, verdict.Fail, check(t, bookkept, w).Verdict)
	w.edit = func(r *record.Run) {
		r.Exchanges = append(r.Exchanges, request("client -> gateway", settle, "cut-off"))
	}
	assert.Equal(t, verdict.Pass, check(t, bookkept, w).Verdict)
}

func TestLedgerAllowsPendingAndRepeats(t *testing.T) {
	last := op(419)
	w := kept(record.Unknown, record.AuditRow{Source: "orders", Key: last, State: "pending"})
	f := check(t, "{id: x, ledger: {operation: checkout, terminal: orders, pendingAtMost: 1}}", w)
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)

	twice := kept(record.OK, rows(done(last), row("charges", last, 1))...)
	f = check(t, "{id: x, ledger: {operation: checkout, accountedBy: [charges], exactlyOnce: false}}", twice)
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
}

func TestLedgerBoundsItsDetails(t *testing.T) {
	w := kept(record.OK)
	w.audit = []record.AuditRow{row("reservations", op(320), 1)}
	f := check(t, bookkept, w)
	assert.Len(t, f.Details, 20)
	assert.Equal(t, "and 81 more", f.Details[19])
}

// letters is a run in which three messages were poisoned.
func letters(dead ...record.AuditRow) *world {
	w := newWorld()
	w.events = faultEvents("slow", "bus-poison", "payments -> nats", record.Receipt{Hits: 2, Unit: "messages", Items: []string{"m-1", "m-10"}})
	w.audit = append([]record.AuditRow{row("charges", op(0), 1)}, dead...)
	return w
}

func letter(id string, after time.Duration, attrs map[string]string) record.AuditRow {
	return record.AuditRow{Source: "dlq", Key: id, ID: "7", State: "dead", At: nanos(fault + after), Attrs: attrs}
}

func TestDLQ(t *testing.T) {
	attrs := map[string]string{"cause": "malformed event", "header.Trace-Id": "t"}
	good := letter("m-1", time.Second, attrs)
	params := "queue: dlq, fault: slow, causeMentions: malformed, keepsHeaders: [trace-id], within: 3s"
	byHeader := letter("other", time.Second, map[string]string{"cause": "malformed", "header.Trace-Id": "t", "header.Nats-Msg-Id": "m-10"})
	none := letters(good)
	none.events = faultEvents("slow", "bus-poison", "payments -> nats", record.Receipt{Hits: 2, Unit: "messages"})
	unread := letters()
	unread.audit = nil
	for _, tt := range []struct {
		name    string
		world   *world
		verdict verdict.Verdict
		why     string
	}{
		{"all parked", letters(good, letter("m-10", 3*time.Second, attrs)), verdict.Pass, "every message arrived in dlq as it should"},
		{"known by a header", letters(good, byHeader), verdict.Pass, "every message arrived in dlq as it should"},
		{"one missing", letters(good), verdict.Fail, "in dlq: m-10: never arrived"},
		{"none arrived", letters(), verdict.Fail, "in dlq: m-1: never arrived (and 1 more)"},
		{"twice", letters(good, good, letter("m-10", 0, attrs)), verdict.Fail, "in dlq: m-1: arrived 2 times"},
		{"no cause", letters(good, letter("m-10", 0, map[string]string{"header.Trace-Id": "t"})), verdict.Fail, "in dlq: m-10: arrived without a cause"},
		{"other cause", letters(good, letter("m-10", 0, map[string]string{"header.Trace-Id": "t", "cause": "timeout"})), verdict.Fail,
			`in dlq: m-10: arrived with cause "timeout", which does not mention "malformed"`},
		{"header lost", letters(good, letter("m-10", 0, map[string]string{"cause": "malformed"})), verdict.Fail, "in dlq: m-10: arrived without header trace-id"},
		{"late", letters(good, letter("m-10", 3001*time.Millisecond, attrs)), verdict.Fail, "in dlq: m-10: arrived after 3s, not within 3s"},
		{"no message ids", none, verdict.Inconclusive, "fault slow left 0 message ids, 1 are needed"},
		{"books not read", unread, verdict.Inconclusive, "the record has no books of dlq"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, dlq: {"+params+"}}", tt.world)
			assert.Equal(t, tt.verdict, f.Verdict)
			assert.Equal(t, tt.why, f.Why)
		})
	}
}
