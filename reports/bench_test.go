package reports

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// What rendering may take (CPU time and bytes allocated in all), and what making
// the digest of a long run may, once, when it is judged. On a machine of its own
// CPU time is no less than what a person waits, and other work beside does not
// change it much.
const (
	mostSuite      = 3 * time.Second
	mostLong       = 5 * time.Second
	mostBytes      = 200 << 20
	mostDigest     = 30 * time.Second
	mostDigestEach = 400 // bytes a request, beside the record itself
)

// longRun is a record of a run of half an hour with that many operations, one
// call each; the main stream is on disk, the rest was never written.
func longRun(tb testing.TB, requests int) Input {
	tb.Helper()
	const length = 30 * time.Minute
	dir := filepath.Join(tb.TempDir(), "long")
	run := &record.Run{Dir: dir}
	inBubble(tb, func(tb testing.TB) {
		w, err := record.Create(dir, record.Header{Run: "long", Scenario: "long", Title: "Half an hour", Started: time.Now(), Input: "long.yaml"})
		require.NoError(tb, err)
		for _, p := range []struct {
			name   string
			length time.Duration
		}{{"baseline", 5 * time.Minute}, {"fault", 15 * time.Minute}, {"recovery", 10 * time.Minute}} {
			require.NoError(tb, w.Append(record.TypePhase, record.Phase{Name: p.name, Event: "start"}))
			if p.name == "fault" {
				require.NoError(tb, w.Append(record.TypeFault, record.Fault{ID: "slow", Kind: "net-latency", On: "client -> gateway", State: record.FaultInjected}))
			}
			time.Sleep(p.length)
			require.NoError(tb, w.Append(record.TypePhase, record.Phase{Name: p.name, Event: "end"}))
		}
		require.NoError(tb, w.Close(record.End{Reason: record.EndDone}))
		run, err = record.Open(dir)
		require.NoError(tb, err)
	})
	started := run.Header.Started.UnixNano()
	run.Operations = make([]record.Operation, requests)
	run.Exchanges = make([]record.Exchange, requests)
	for i := range requests {
		at := started + int64(length)/int64(requests)*int64(i)
		took := int64(5+i%40) * int64(time.Millisecond)
		outcome, status := record.OK, 200
		if i%50 == 0 {
			outcome, status = record.Failed, 503
		}
		id := strconv.Itoa(i)
		run.Operations[i] = record.Operation{At: at, Dur: took, Name: "checkout", ID: id, Outcome: outcome}
		run.Exchanges[i] = record.Exchange{At: at, Dur: took, Edge: "client -> gateway", Method: "POST", Path: "/checkout", Status: status, Op: id}
	}
	series := make([]verdict.Point, 1800)
	for i := range series {
		series[i] = verdict.Point{T: time.Duration(i) * time.Second, V: 0.98}
	}
	system := &spec.System{}
	system.Spec.Edges = spec.Edges{{Caller: "client", Callee: "gateway"}}
	return Input{Run: run, Scenario: &spec.Scenario{}, System: system, Result: verdict.Result{Verdict: verdict.Fail, Sentence: "fail", Findings: []verdict.Finding{
		{ID: "ok", Kind: "slo", Group: "expect", During: "fault", Verdict: verdict.Fail, Series: series},
	}}}
}

// inBubble runs under a clock of its own, so that half an hour takes no time.
func inBubble(tb testing.TB, do func(testing.TB)) {
	ok := testing.RunTests(func(_, _ string) (bool, error) { return true, nil }, []testing.InternalTest{{Name: "bubble", F: func(t *testing.T) {
		synctest.Test(t, func(*testing.T) { do(tb) })
	}}})
	require.True(tb, ok)
}

// BenchmarkRunOfHalfAnHour renders from what the judgement left on disk: five
// million requests cost what fifty thousand do.
func BenchmarkRunOfHalfAnHour(b *testing.B) {
	for _, requests := range []int{50_000, 5_000_000} {
		b.Run(fmt.Sprint(requests), func(b *testing.B) {
			in := longRun(b, requests)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := cpuTime(b)
			require.NoError(b, SaveDigest(in.Run.Dir, Digested(in)))
			made := cpuTime(b) - began
			runtime.ReadMemStats(&after)
			each := float64(after.TotalAlloc-before.TotalAlloc) / float64(requests)
			in.Run.Operations, in.Run.Exchanges = nil, nil
			runtime.GC()
			runtime.ReadMemStats(&before)
			var page bytes.Buffer
			began = cpuTime(b)
			for b.Loop() {
				run, err := record.OpenMain(in.Run.Dir)
				require.NoError(b, err)
				digest, err := ReadDigest(run)
				require.NoError(b, err)
				page.Reset()
				require.NoError(b, HTML(&page, Input{Run: run, Digest: digest, Scenario: in.Scenario, System: in.System, Result: in.Result}))
			}
			took := (cpuTime(b) - began) / time.Duration(b.N)
			runtime.ReadMemStats(&after)
			bytes := (after.TotalAlloc - before.TotalAlloc) / uint64(b.N)
			b.ReportMetric(float64(bytes)/(1<<20), "MB/op")
			b.ReportMetric(float64(page.Len()), "page-bytes")
			b.ReportMetric(took.Seconds(), "cpu-s/op")
			b.ReportMetric(made.Seconds(), "digest-cpu-s")
			b.ReportMetric(each, "digest-B/request")
			require.Less(b, made, mostDigest)
			require.Less(b, each, mostDigestEach+float64(64<<20)/float64(requests))
			require.Less(b, took, mostLong)
			require.Less(b, bytes, uint64(mostBytes))
			require.Less(b, page.Len(), 500_000)
		})
	}
}

// BenchmarkSuiteOfThirty renders everything that a suite of thirty scenarios
// gets: page, summary and JUnit of each, and the index.
func BenchmarkSuiteOfThirty(b *testing.B) {
	in := longRun(b, 50_000)
	in.Digest = Digested(in)
	in.Run.Operations, in.Run.Exchanges = nil, nil
	began := cpuTime(b)
	for b.Loop() {
		var all []Scenario
		for range 30 {
			require.NoError(b, HTML(io.Discard, in))
			require.NoError(b, Markdown(io.Discard, in))
			require.NoError(b, RunJUnit(io.Discard, in, JUnitOptions{}))
			all = append(all, alone(RowOf(in)))
		}
		require.NoError(b, Index(io.Discard, all, nil))
	}
	took := (cpuTime(b) - began) / time.Duration(b.N)
	b.ReportMetric(took.Seconds(), "cpu-s/op")
	require.Less(b, took, mostSuite)
}

// cpuTime is what this process has used.
func cpuTime(tb testing.TB) time.Duration {
	var used syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
