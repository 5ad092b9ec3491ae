package verdict_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
)

// logs gives the run of a world the log of payments.
func (w *world) logs(t *testing.T, lines ...string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "logs"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", "payments.log"), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	was := w.edit
	w.edit = func(r *record.Run) { was(r); r.Dir = dir }
}

func logLine(at time.Duration, rest string) string {
	return fmt.Sprintf(`{"time":%q,"level":"WARN","msg":"call failed"%s}`, started.Add(at).Format(time.RFC3339Nano), rest)
}

func TestLogCounts(t *testing.T) {
	t.Parallel()
	const wanted = `{id: x, log: {service: payments, fields: {msg: call*, edge: payments -> psp-primary}}, `
	to := `,"edge":"payments -> psp-primary","took":1.5`
	for _, tt := range []struct {
		name    string
		expect  string
		lines   []string
		verdict verdict.Verdict
		why     string
	}{
		{"there", wanted + "atLeast: 1}", []string{logLine(fault+time.Second, to)}, verdict.Pass, "1 line: lines of payments with edge = payments -> psp-primary, msg = call*"},
		{"too early", wanted + "atLeast: 1}", []string{logLine(baseline, to)}, verdict.Fail, ""},
		{"another value", wanted + "atLeast: 1}", []string{logLine(fault+time.Second, `,"edge":"payments -> nats"`)}, verdict.Fail, ""},
		{"a field that is missing", wanted + "atLeast: 1}", []string{logLine(fault+time.Second, "")}, verdict.Fail, ""},
		{"must not be there", wanted + "atMost: 0}", []string{logLine(fault+time.Second, to)}, verdict.Fail, ""},
		{"is not there", wanted + "atMost: 0}", []string{logLine(baseline, to)}, verdict.Pass, ""},
		{"a number", `{id: x, log: {service: payments, fields: {took: "1.5"}}, atLeast: 1}`, []string{logLine(fault+time.Second, to)}, verdict.Pass, ""},
		{"text", `{id: x, log: {service: payments, contains: psp-primary}, atLeast: 1}`, []string{logLine(fault+time.Second, to)}, verdict.Pass, ""},
		{"nothing but text", wanted + "atMost: 0}", []string{"panic: call failed"}, verdict.Inconclusive, "payments wrote no line of JSON with a time"},
		{"a very long line", wanted + "atLeast: 1}", []string{strings.Repeat("x", 200<<10), logLine(fault+time.Second, to)}, verdict.Pass, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld()
			w.logs(t, tt.lines...)
			f := check(t, tt.expect, w)
			assert.Equal(t, tt.verdict, f.Verdict, f.Why)
			if tt.why != "" {
				assert.Equal(t, tt.why, f.Why)
			}
		})
	}
	t.Run("no log", func(t *testing.T) {
		w := newWorld()
		w.edit = func(r *record.Run) { r.Dir = t.TempDir() }
		assert.Equal(t, verdict.Inconclusive, check(t, wanted+"atMost: 0}", w).Verdict)
	})
}

// Whoever finds a failed request finds its cause by the trace.
func TestLogExplains(t *testing.T) {
	t.Parallel()
	const expect = `{id: x, log: {service: payments, fields: {level: WARN}, explains: payments -> psp-primary}, atLeast: 95%}`
	explained := func(traced, failing int) *world {
		w := newWorld()
		w.wire = func(at time.Duration, id string) []record.Exchange {
			x := request(edge, at, id)
			x.Trace = "trace-" + id
			if at >= fault && at < recovery && failing > 0 {
				failing--
				x.Status = 503
			}
			return []record.Exchange{x}
		}
		var lines []string
		for i := range traced {
			n := int(fault.Seconds())*rate + i
			lines = append(lines, logLine(fault+time.Duration(i)*time.Millisecond, fmt.Sprintf(`,"trace_id":"trace-op-%04d"`, n)))
		}
		w.logs(t, append(lines, logLine(0, ""))...)
		return w
	}
	f := check(t, expect, explained(40, 40))
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
	assert.Equal(t, "40 of 40", f.Measured)
	f = check(t, expect, explained(30, 40))
	assert.Equal(t, verdict.Fail, f.Verdict)
	assert.Len(t, f.Details, 10)
	assert.Contains(t, f.Details[0], "POST /charges: 503: no line of trace trace-op-0350")
	f = check(t, expect, explained(9, 9))
	assert.Equal(t, verdict.Inconclusive, f.Verdict)
	assert.Equal(t, "9 failed requests on payments -> psp-primary, 10 are needed", f.Why)
}
