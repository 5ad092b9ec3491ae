package verdict_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/runner/verdict"
)

func TestAgree(t *testing.T) {
	t.Parallel()
	const expect = "{id: x, agree: {sources: [charges, orders], attrs: [version]}}"
	row := func(source, key, version string) record.AuditRow {
		return record.AuditRow{Source: source, Key: key, Effect: 1, State: "current", At: nanos(fault), Attrs: map[string]string{"version": version}}
	}
	both := func(n int) (rows []record.AuditRow) {
		for i := range n {
			key := fmt.Sprintf("key-%02d", i)
			rows = append(rows, row("charges", key, "1"), row("orders", key, "1"))
		}
		return rows
	}
	old := func(rows []record.AuditRow) []record.AuditRow {
		for i := range rows {
			rows[i].At = 0
		}
		return rows
	}
	for _, tt := range []struct {
		name    string
		rows    []record.AuditRow
		verdict verdict.Verdict
		why     string
	}{
		{"the same", both(12), verdict.Pass, "all 12 keys are the same"},
		{"the newest row counts", append(both(12), row("charges", "key-03", "2"), row("orders", "key-03", "2")), verdict.Pass, "all 12 keys are the same"},
		{"another version", append(both(12), row("charges", "key-03", "2")), verdict.Fail,
			"1 of 12 keys differ, the first key-03: charges has effect 1 current, version 2, orders has effect 1 current, version 1"},
		{"lost in one", append(both(2), row("orders", "new", "1")), verdict.Fail,
			"1 of 3 keys differ, the first new: charges has absent, orders has effect 1 current, version 1"},
		{"few", both(9), verdict.Inconclusive, "9 keys in the books, 10 are needed"},
		{"nothing written", old(both(12)), verdict.Inconclusive, "nothing in the books was written during the run"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.audit = tt.rows
			f := check(t, expect, w)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			assert.Equal(t, tt.why, f.Why)
		})
	}
	t.Run("a source that was not read", func(t *testing.T) {
		w := newWorld()
		w.audit = both(12)
		w.edit = func(r *record.Run) {
			r.Probes = append(r.Probes, books("charges", false, "refused"), books("orders", true, ""))
		}
		f := check(t, expect, w)
		assert.Equal(t, verdict.Inconclusive, f.Verdict)
		assert.Equal(t, "the books of charges could not be read: refused", f.Why)
	})
}
