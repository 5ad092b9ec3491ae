package reports

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// hostile is text that tries to be more than text wherever it is shown.
const hostile = "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=alert(1)>\n\x1b[31mred\x1b[0m\r\u202e|`*_[x](http://evil.example) ]]> --> </text></svg>\x00&amp;"

// story is what a synthetic run is made of. Names and notes can be made hostile.
type story struct {
	warmup, baseline, fault, recovery time.Duration
	name                              string // appended to every name and text
}

// plot is the usual story.
var plot = story{warmup: 2 * time.Second, baseline: 6 * time.Second, fault: 10 * time.Second, recovery: 8 * time.Second}

// run writes the story as a record and reads it back. The clock is the bubble's,
// so every instant is exact.
func (s story) run(t *testing.T) *record.Run {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "psp-slow")
	synctest.Test(t, func(t *testing.T) { s.write(t, dir) })
	run, err := record.Open(dir)
	require.NoError(t, err)
	return run
}

func (s story) write(t *testing.T, dir string) {
	start := time.Now()
	w, err := record.Create(dir, record.Header{
		Run: "psp-slow" + s.name, Scenario: "psp-slow" + s.name, Title: "A slow provider opens the breaker" + s.name,
		Hypothesis: "Checkout stays within its SLO." + s.name, File: "scenarios/psp-slow.yaml", Input: "scenarios/psp-slow.yaml",
		PlanHash: "9b77350bfb69c0ffee", Seed: 7, Started: start, Defects: []string{"D10" + s.name},
		Rerun: "squall run --seed 7 scenarios/psp-slow.yaml" + s.name, Versions: map[string]string{"squall": "1.0.0", "go": "go1.26"},
	})
	require.NoError(t, err)
	at := func(typ record.Type, v any) { require.NoError(t, w.Append(typ, v)) }
	phase := func(name string, length time.Duration, during func(from time.Duration)) {
		at(record.TypePhase, record.Phase{Name: name, Event: "start"})
		from := w.Since()
		s.traffic(t, w, name, from, length)
		during(from)
		time.Sleep(from + length - w.Since())
		at(record.TypePhase, record.Phase{Name: name, Event: "end"})
	}
	process := func(event, detail string) {
		at(record.TypeProcess, record.Process{Service: "orders" + s.name, PID: 4711, Event: event, Detail: detail})
	}
	process("started", "shop orders")
	time.Sleep(time.Second)
	process("ready", "")
	s.introduce(t, w)
	at(record.TypeLoad, record.Load{Event: "started", Script: "checkout.js", Arrival: 20})
	at(record.TypeLoad, record.Load{Event: "flowing", Arrival: 20})
	phase("warmup", s.warmup, func(time.Duration) {})
	phase("baseline", s.baseline, func(time.Duration) {
		at(record.TypeProbe, record.Probe{Name: "gateway", OK: true, Value: 1})
		at(record.TypeNote, record.Note{Author: "ann", Level: "warn", Text: "deploy in progress" + s.name})
	})
	phase("fault", s.fault, func(time.Duration) { s.faults(t, w, process) })
	phase("recovery", s.recovery, func(time.Duration) { s.gauges(t, w, 0, 0, 3) })
	at(record.TypeLoad, record.Load{Event: "stopped"})
	at(record.TypePhase, record.Phase{Name: "settle", Event: "start"})
	time.Sleep(200 * time.Millisecond)
	at(record.TypePhase, record.Phase{Name: "settle", Event: "end"})
	process("stopped", "exit code 0")
	for i, key := range []string{"fault-1", "fault-1", "fault-2"} {
		require.NoError(t, w.Put(record.Audit, record.AuditRow{Source: "charges" + s.name, Key: key, ID: fmt.Sprintf("c%d", i+1), Effect: 1, At: int64(i)}))
	}
	for i := range 160 {
		require.NoError(t, w.Put(record.Audit, record.AuditRow{Source: "charges" + s.name, Key: fmt.Sprintf("recovery-%d", i), Effect: 1}))
	}
	s.logs(t, w.Started(), dir)
	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
}

// logs writes what payments has to say when the fault strikes.
func (s story) logs(t *testing.T, started time.Time, dir string) {
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "logs"), 0o755))
	line := func(at time.Duration, level, msg, more string) string {
		fields, err := json.Marshal(map[string]string{"time": started.Add(at).Format(time.RFC3339Nano), "level": level, "msg": msg + s.name, "cause": more, "op": "fault-1"})
		require.NoError(t, err)
		return string(fields) + "\n"
	}
	text := line(2*time.Second, "INFO", "hello", "") + line(9300*time.Millisecond, "ERROR", "cannot charge", "timeout"+s.name) + "panic: not JSON" + strings.ReplaceAll(s.name, "\n", " ") + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", "payments.log"), []byte(text), 0o644))
}

// faults injects a slow link and kills a process while it stands.
func (s story) faults(t *testing.T, w *record.Writer, process func(event, detail string)) {
	f := record.Fault{ID: "slow" + s.name, Kind: "net-latency", On: "payments -> psp" + s.name, Detail: "3s ± 200ms" + s.name}
	step := func(f record.Fault, state record.FaultState, wait time.Duration) {
		f.State = state
		require.NoError(t, w.Append(record.TypeFault, f))
		time.Sleep(wait)
	}
	step(f, record.FaultIntent, 10*time.Millisecond)
	step(f, record.FaultInjected, 300*time.Millisecond)
	f.Receipt = &record.Receipt{Hits: 42, Unit: "requests", Note: "median delay 3.01s" + s.name}
	step(f, record.FaultBiting, 700*time.Millisecond)
	s.gauges(t, w, 2, 12, 0)
	kill := record.Fault{ID: "kill", Kind: "proc-kill", On: "orders", Detail: "SIGKILL"}
	step(kill, record.FaultIntent, 0)
	step(kill, record.FaultInjected, 0)
	process("killed", "SIGKILL"+s.name)
	time.Sleep(2 * time.Second)
	s.gauges(t, w, 1, 40, 1)
	process("restarted", "")
	time.Sleep(time.Second)
	process("ready", "")
	kill.Receipt = &record.Receipt{Hits: 1, Unit: "processes"}
	step(kill, record.FaultReverted, 0)
	step(kill, record.FaultGone, 4*time.Second)
	s.gauges(t, w, 2, 20, 3)
	step(f, record.FaultReverted, 50*time.Millisecond)
	step(f, record.FaultGone, 0)
}

// introduce writes the first scrapes.
func (s story) introduce(t *testing.T, w *record.Writer) {
	series := func(id uint32, name, label, value string) record.Series {
		return record.Series{ID: id, Labels: map[string]string{"__name__": name, "instance": "payments", "job": "payments", label: value + s.name}, Type: "gauge"}
	}
	require.NoError(t, w.Put(record.Metrics, record.Scrape{
		At: time.Now().UnixNano(), Source: "payments", Up: true,
		New: []record.Series{series(1, "breaker_state", "edge", "payments -> psp"), series(2, "outbox_pending", "queue", "mail"), series(3, "dlq_messages_total", "subject", "orders.paid")},
		V:   []record.Value{{ID: 1, V: 0}, {ID: 2, V: 0}, {ID: 3, V: 0}},
	}))
	require.NoError(t, w.Put(record.Metrics, record.Scrape{
		At: time.Now().UnixNano(), Source: "k6", Up: true,
		New: []record.Series{{ID: 4, Labels: map[string]string{"__name__": "k6_dropped_iterations_total"}, Type: "counter"}, {ID: 5, Labels: map[string]string{"__name__": "k6_iterations_total"}, Type: "counter"}},
		V:   []record.Value{{ID: 4, V: 0}, {ID: 5, V: 0}},
	}))
}

func (s story) gauges(t *testing.T, w *record.Writer, breaker, pending, dlq float64) {
	at := time.Now().UnixNano()
	require.NoError(t, w.Put(record.Metrics, record.Scrape{At: at, Source: "payments", Up: true,
		V: []record.Value{{ID: 1, V: record.Float(breaker)}, {ID: 2, V: record.Float(pending)}, {ID: 3, V: record.Float(dlq)}}}))
	require.NoError(t, w.Put(record.Metrics, record.Scrape{At: at, Source: "k6", Up: true,
		V: []record.Value{{ID: 4, V: record.Float(dlq * 2)}, {ID: 5, V: record.Float(pending)}}}))
}

// traffic writes 20 checkouts a second, each with its exchanges. Under the
// fault every call to the provider is made twice and every fifth checkout
// fails, every tenth stays unknown.
func (s story) traffic(t *testing.T, w *record.Writer, phase string, from, length time.Duration) {
	faulty := phase == "fault"
	for i := range int(length / (50 * time.Millisecond)) {
		at := w.Started().Add(from + time.Duration(i)*50*time.Millisecond).UnixNano()
		id := fmt.Sprintf("%s-%d", phase, i)
		took, outcome, status := 8*time.Millisecond, record.OK, 201
		switch {
		case faulty && i%10 == 0:
			took, outcome, status = 2*time.Second, record.Unknown, 0
		case faulty && i%5 == 0:
			took, outcome, status = 100*time.Millisecond, record.Failed, 503
		case faulty:
			took = 400 * time.Millisecond
		}
		require.NoError(t, w.Put(record.Ops, record.Operation{At: at, Dur: int64(took), Name: "checkout", ID: id, Outcome: outcome}))
		require.NoError(t, w.Put(record.Wire, record.Exchange{At: at, Dur: int64(took), Edge: "client -> gateway", Method: "POST", Path: "/checkout", Status: status, Op: id}))
		for n := range 2 {
			if n == 0 || faulty {
				x := record.Exchange{At: at + int64(n), Dur: int64(took), Edge: "payments -> psp" + s.name, Method: "POST", Path: "/charges", Status: status, Op: id}
				require.NoError(t, w.Put(record.Wire, x))
			}
		}
	}
}

// failed is the judgement of the synthetic run: one broken assertion.
func (s story) failed() verdict.Result {
	worst := 12 * time.Second
	at := func(line int) spec.Pos { return spec.Pos{File: "scenarios/psp-slow.yaml", Line: line, Col: 7} }
	return verdict.Result{
		Verdict:  verdict.Fail,
		Sentence: "fail: charged-once: 2 of 520 checkouts were charged twice" + s.name,
		Findings: []verdict.Finding{
			{ID: "end", Kind: "evidence", Group: "evidence", Verdict: verdict.Pass, Expected: "the run goes to its end", Measured: "done", Why: "the run went to its end"},
			{ID: "load", Kind: "evidence", Group: "evidence", Verdict: verdict.Pass, Expected: "at least 98% of the arrivals", Measured: "100%", Samples: 520, Why: "the load was as asked for", Details: []string{"baseline: 120 of 120"}},
			{ID: "checkout-ok", Kind: "slo", Group: "steady", During: "baseline", Verdict: verdict.Pass, Expected: "at least 99%", Measured: "100%", Margin: "+1 points", Samples: 120, MinSamples: 50, Why: "120 of 120 events were good", Pos: at(20)},
			{ID: "opens", Kind: "breaker", Group: "expect", During: "run", Verdict: verdict.Pass, Expected: "opens within 3s, closes within 10s", Measured: "opened after 1.01s, at most 1 trial call at a time, closed after 640ms", Samples: 120, MinSamples: 20, Edge: "payments -> psp" + s.name, Pos: at(22)},
			{ID: "charged-once" + s.name, Kind: "ledger", Group: "expect", During: "run", Verdict: verdict.Fail, Expected: "every checkout in the books once" + s.name, Measured: "2 doubled" + s.name, Margin: "2 too many", Samples: 520, MinSamples: 50,
				Why: "2 of 520 checkouts were charged twice" + s.name, Worst: &worst, Window: &verdict.Window{From: 3 * time.Second, To: 27 * time.Second}, Pos: at(24),
				Flaws:   []verdict.Flaw{{ID: "fault-1", Flaw: "doubled", Text: "ok, charges +2 -0" + s.name}, {ID: "fault-2", Flaw: "doubled", Text: "ok, charges +2 -0"}},
				Details: []string{"doubled: fault-1" + s.name, "doubled: fault-2", "3", "4", "5", "6", "7"}},
			{ID: "recovers", Kind: "recovery", Group: "expect", During: "recovery", Verdict: verdict.Pass, Expected: "checkout-ok within 10s", Measured: "recovered after 250ms", Samples: 160, Why: "well again 250ms after the last fault", Expr: `rate(ok[1s]) > 0.99`, Pos: at(25)},
			{ID: "too-bad", Kind: "slo", Group: "guardrail", Verdict: verdict.Skipped, Expected: "at least 5%", Why: "no data" + s.name, Pos: at(29)},
		},
	}
}

func (s story) input(t *testing.T) Input {
	t.Helper()
	system := &spec.System{}
	system.Spec.Edges = spec.Edges{{Caller: "client", Callee: "gateway"}, {Caller: "payments", Callee: "psp" + s.name}, {Caller: "orders", Callee: "nats"}}
	return Input{Run: s.run(t), Result: s.failed(), System: system, Scenario: &spec.Scenario{}}
}

// noControl asserts that nothing but the colours asked for steers a terminal.
func noControl(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if (r < ' ' && r != '\n' && r != '\t') || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '\u202e' {
			t.Fatalf("control character %U in %q", r, text[:min(len(text), 400)])
		}
	}
	assert.False(t, strings.Contains(text, "[31mred"), "a terminal sequence is left in part")
}
