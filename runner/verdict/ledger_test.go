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
	t.Parallel()
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
		r.Probes = append(r.Probes, books("charges", true, ""), books("reservations", false, "GET /audit: 500"))
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

// TestLedgerDeadLetters: what was given up in the open is neither lost nor half
// done, and what it was not given up for must still hold.
func TestLedgerDeadLetters(t *testing.T) {
	last := op(419)
	dead := record.AuditRow{Source: "dlq", Key: last, State: "dead"}
	poison := record.AuditRow{Source: "dlq", Key: "poison-1", State: "dead"}
	money, confirmed := row("money-a", last, 1), record.AuditRow{Source: "orders", Key: last, State: "confirmed"}
	for _, tt := range []struct {
		name     string
		outcome  record.Outcome
		rows     []record.AuditRow
		verdict  verdict.Verdict
		measured string
	}{
		{"some effects missing", record.OK, rows(dead, row("charges", last, 1), money, confirmed), verdict.Pass, "100 ok, 0 failed, 0 unknown: 99 completed, 0 undone, 1 dead-lettered; 0 lost, 0 doubled, 0 half-done"},
		{"all effects missing", record.OK, rows(dead, money, confirmed), verdict.Pass, ": 99 completed, 0 undone, 1 dead-lettered; 0 lost, 0 doubled, 0 half-done"},
		{"reply lost", record.Unknown, rows(dead, money, confirmed), verdict.Pass, ": 99 completed, 0 undone, 1 dead-lettered; 0 lost, 0 doubled, 0 half-done"},
		{"reply lost, never paid", record.Unknown, rows(dead), verdict.Pass, ": 99 completed, 0 undone, 1 dead-lettered; 0 lost, 0 doubled, 0 half-done"},
		{"done before it was given up", record.OK, rows(done(last), dead), verdict.Pass, ": 100 completed, 0 undone, 0 dead-lettered; 0 lost, 0 doubled, 0 half-done"},
		{"a letter that is no operation", record.OK, rows(done(last), poison), verdict.Pass, ": 100 completed, 0 undone, 0 dead-lettered; 0 lost, 0 doubled, 0 half-done"},
		{"not given up", record.OK, rows(poison, row("charges", last, 1), money, confirmed), verdict.Fail, "; 1 lost, 0 doubled, 0 half-done"},
		{"given up, but not paid", record.OK, rows(dead, confirmed), verdict.Fail, "; 1 lost, 0 doubled, 0 half-done"},
		{"given up and done twice", record.OK, rows(dead, row("charges", last, 2), money, confirmed), verdict.Fail, "; 0 lost, 1 doubled, 0 half-done"},
		{"failed, and an effect is left", record.Failed, rows(dead, row("charges", last, 1)), verdict.Fail, "; 0 lost, 0 doubled, 1 half-done"},
		{"failed and undone", record.Failed, undone(last), verdict.Pass, "99 ok, 1 failed, 0 unknown: 99 completed, 1 undone, 0 dead-lettered; 0 lost, 0 doubled, 0 half-done"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := check(t, "{id: x, ledger: {operation: checkout, accountedBy: [charges, reservations], balancedBy: [money], deadLettered: [dlq], terminal: orders}}", kept(tt.outcome, tt.rows...))
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Contains(t, f.Measured, tt.measured)
		})
	}
	unread := kept(record.OK, done(last)...)
	unread.edit = func(r *record.Run) {
		for _, source := range []string{"charges", "reservations", "money-a", "money-b", "orders"} {
			r.Probes = append(r.Probes, books(source, true, ""))
		}
	}
	f := check(t, "{id: x, ledger: {operation: checkout, accountedBy: [charges], deadLettered: [dlq]}}", unread)
	assert.Equal(t, verdict.Inconclusive, f.Verdict)
	assert.Equal(t, "the record has no books of dlq", f.Why)
}
