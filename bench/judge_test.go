package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// The run that is judged.
const (
	judgedSources = 20
	judgedSeries  = 100 // of each source: 2,000 in all
	judgedRate    = 40  // operations per second
	judgedEdges   = 10  // each with a request per operation
	judgedEnd     = 62 * time.Second
	judgeRounds   = 5
	judgeRun      = "SQUALL_BENCH_JUDGE" // run directory that this process is to judge
)

// What judging may cost.
const (
	judgeWithin = time.Second
	judgeMemory = 200 << 20
)

// BenchmarkJudge judges a run of 60 s with 2,000 series and 50 assertions from
// its directory, each time in a process of its own, as squall judge does. Bounded
// are CPU time, which on a machine of its own is no less than what a person waits
// and which other work beside it does not change much, and the largest resident set.
func BenchmarkJudge(b *testing.B) {
	dir := b.TempDir()
	writeRun(b, dir)
	var took, cpu, memory []float64
	for range b.N * judgeRounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), judgeRun+"="+dir)
		cmd.Stderr = os.Stderr
		begun := time.Now()
		out, err := cmd.Output()
		took = append(took, time.Since(begun).Seconds())
		require.NoError(b, err)
		require.Equal(b, "pass, 50 assertions, 2000 series\n", string(out))
		cpu = append(cpu, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds())
		memory = append(memory, float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)*1024)
	}
	b.ReportMetric(0, "ns/op") // said in seconds below
	b.ReportMetric(median(took), "s/judgement")
	b.ReportMetric(median(cpu), "cpu-s/judgement")
	b.ReportMetric(median(memory)/(1<<20), "MiB")
	if median(cpu) > judgeWithin.Seconds() || median(memory) > judgeMemory {
		b.Errorf("judging took %.2f s of CPU time and %.0f MiB, want at most %s and %d MiB", median(cpu), median(memory)/(1<<20), judgeWithin, judgeMemory>>20)
	}
}

// judgeSaved is the process that is measured.
func judgeSaved(dir string) error {
	run, err := record.Open(dir)
	if err != nil {
		return err
	}
	sc, problems := spec.Load(filepath.Join(dir, "s.yaml"))
	if len(problems) > 0 {
		return problems
	}
	declared, problems := spec.LoadSystem(filepath.Join(dir, "system.yaml"))
	if len(problems) > 0 {
		return problems
	}
	sys, problems := declared.With()
	if len(problems) > 0 {
		return problems
	}
	judge, problems := verdict.NewJudge(sc, sys)
	if len(problems) > 0 {
		return problems
	}
	res := judge.Judge(context.Background(), run)
	asserted, series := 0, 0
	for _, f := range res.Findings {
		if f.Group == "expect" {
			asserted++
		}
		if f.Verdict != verdict.Pass {
			fmt.Fprintf(os.Stderr, "%s: %s: %s\n", f.ID, f.Verdict, f.Why)
		}
	}
	for _, s := range run.Scrapes {
		series += len(s.New)
	}
	fmt.Printf("%s, %d assertions, %d series\n", res.Verdict, asserted, series)
	return nil
}

// writeRun makes the run directory: metrics of every source each 250 ms, of
// which two in five move, requests on every edge, and a fault from 20 s to 45 s.
func writeRun(b *testing.B, dir string) {
	started := time.Unix(1_700_000_000, 0)
	at := func(t time.Duration) int64 { return started.Add(t).UnixNano() }
	lines := map[record.Stream]uint64{record.Audit: 0}
	writers := map[record.Stream]*json.Encoder{}
	for _, s := range []record.Stream{record.Main, record.Metrics, record.Wire, record.Ops, record.Audit} {
		f, err := os.Create(filepath.Join(dir, string(s)+".ndjson"))
		require.NoError(b, err)
		buffered := bufio.NewWriter(f)
		writers[s] = json.NewEncoder(buffered)
		defer func() { require.NoError(b, buffered.Flush()); require.NoError(b, f.Close()) }()
	}
	put := func(s record.Stream, v any) {
		lines[s]++
		require.NoError(b, writers[s].Encode(v))
	}
	var entries uint64
	entry := func(t time.Duration, typ record.Type, payload any) {
		data, err := json.Marshal(payload)
		require.NoError(b, err)
		put(record.Main, record.Entry{Seq: entries, T: t, Type: typ, Data: data})
		entries++
	}
	entry(0, record.TypeHeader, record.Header{Format: record.FormatVersion, Run: "judged", Scenario: "judged", Started: started, Seed: 1})
	entry(0, record.TypeLoad, record.Load{Event: "started", Arrival: judgedRate})
	entry(0, record.TypeLoad, record.Load{Event: "flowing", Arrival: judgedRate})
	for i, p := range []string{"warmup", "baseline", "fault", "recovery"} {
		from := []time.Duration{0, 2, 20, 45, 62}[i:]
		entry(from[0]*time.Second, record.TypePhase, record.Phase{Name: p, Event: "start"})
		if p == "fault" {
			receipt := &record.Receipt{Hits: 900, Unit: "requests"}
			for _, s := range []record.FaultState{record.FaultIntent, record.FaultInjected, record.FaultBiting} {
				entry(20*time.Second, record.TypeFault, record.Fault{ID: "slow", Kind: "net-latency", On: "s0 -> s1", State: s, Receipt: receipt})
			}
			for _, s := range []record.FaultState{record.FaultReverted, record.FaultGone} {
				entry(45*time.Second, record.TypeFault, record.Fault{ID: "slow", Kind: "net-latency", On: "s0 -> s1", State: s, Receipt: receipt})
			}
		}
		entry(from[1]*time.Second, record.TypePhase, record.Phase{Name: p, Event: "end"})
	}
	writeTraffic(put, at)
	writeScrapes(put, at)
	streams := map[record.Stream]record.Totals{}
	for _, s := range []record.Stream{record.Metrics, record.Wire, record.Ops, record.Audit} {
		streams[s] = record.Totals{Lines: lines[s]}
	}
	entry(judgedEnd, record.TypeEnd, record.End{Reason: record.EndDone, Streams: streams})
	require.NoError(b, os.WriteFile(filepath.Join(dir, "system.yaml"), []byte(judgedSystem()), 0o600))
	require.NoError(b, os.WriteFile(filepath.Join(dir, "slo.yaml"), []byte(judgedSLO), 0o600))
	require.NoError(b, os.WriteFile(filepath.Join(dir, "s.yaml"), []byte(judgedScenario()), 0o600))
}

func writeTraffic(put func(record.Stream, any), at func(time.Duration) int64) {
	for i := range int(judgedEnd.Seconds()) * judgedRate {
		t := time.Duration(i) * time.Second / judgedRate
		id := fmt.Sprintf("op-%06d", i)
		put(record.Ops, record.Operation{At: at(t), Dur: int64(20 * time.Millisecond), Name: "checkout", ID: id, First: true, Outcome: record.OK})
		for e := range judgedEdges {
			x := record.Exchange{At: at(t), Dur: int64(2 * time.Millisecond), Edge: fmt.Sprintf("s%d -> s%d", e, e+1), Conn: 1, N: uint64(i),
				Method: "POST", Path: "/work", Status: 200, Op: id, Key: id, Trace: id, Sent: true, In: 400, Out: 900}
			if i%10 == 0 { // answered at the second attempt
				x.Status = 503
				put(record.Wire, x)
				x.At, x.Status = at(t+5*time.Millisecond), 200
			}
			put(record.Wire, x)
		}
	}
}

// source counts in counters, and in a native histogram that comes last.
type source struct {
	name   string
	first  uint32
	values [judgedSeries - 1]float64
	counts [60]int64
}

func writeScrapes(put func(record.Stream, any), at func(time.Duration) int64) {
	chance := rand.New(rand.NewPCG(1, 1))
	var sources []*source
	for i := range judgedSources {
		sources = append(sources, &source{name: fmt.Sprintf("s%d", i), first: uint32(1 + i*judgedSeries)})
	}
	sources[0].name = "k6"
	for t := time.Duration(0); t <= judgedEnd; t += 250 * time.Millisecond {
		for _, s := range sources {
			put(record.Metrics, s.scrape(t, at(t), chance))
		}
	}
}

func (s *source) scrape(t time.Duration, at int64, chance *rand.Rand) record.Scrape {
	out := record.Scrape{At: at, Source: s.name, Up: true}
	hist := s.first + judgedSeries - 1
	if t == 0 {
		for i := range s.values {
			out.New = append(out.New, record.Series{ID: s.first + uint32(i), Type: "counter", Labels: s.labels(i)})
		}
		out.New = append(out.New, record.Series{ID: hist, Type: "histogram", Labels: map[string]string{"__name__": "d_seconds", "job": s.name}})
	}
	for i := range s.values {
		more := chance.IntN(5) < 2
		if s.name == "k6" && i < 2 { // operations and iterations: as the load has them
			s.values[i], more = float64(int(t.Seconds()*judgedRate)), true
		} else if more {
			s.values[i] += float64(1 + chance.IntN(20))
		}
		if more || t == 0 {
			out.V = append(out.V, record.Value{ID: s.first + uint32(i), V: record.Float(s.values[i])})
		}
	}
	h := record.HistValue{ID: hist, Schema: 6}
	for range 10 {
		s.counts[chance.IntN(len(s.counts))]++
	}
	for i, n := range s.counts {
		if n > 0 {
			h.Pos, h.Count, h.Sum = append(h.Pos, record.Bucket{int64(i - 300), n}), h.Count+uint64(n), h.Sum+record.Float(n)
		}
	}
	out.H = []record.HistValue{h}
	return out
}

func (s *source) labels(i int) map[string]string {
	l := map[string]string{"__name__": fmt.Sprintf("m%d_total", i/10), "job": s.name, "instance": s.name, "shard": fmt.Sprint(i % 10)}
	if s.name == "k6" && i == 0 {
		l = map[string]string{"__name__": "squall_operations_total", "operation": "checkout", "outcome": "ok"}
	}
	if s.name == "k6" && i == 1 {
		l = map[string]string{"__name__": "k6_iterations_total"}
	}
	return l
}

func judgedSystem() string {
	var b strings.Builder
	b.WriteString("apiVersion: squall/v1\nkind: System\nmetadata: {name: judged}\nspec:\n  target: process\n  services:\n")
	for i := range judgedSources {
		metrics := ", metrics: /metrics"
		if i == 0 {
			metrics = "" // its place among the sources is the load generator's
		}
		fmt.Fprintf(&b, "    s%d: {command: [none], ports: [http]%s}\n", i, metrics)
	}
	b.WriteString("  edges:\n    client -> s0: {protocol: http, env: S0_URL}\n")
	for e := range judgedEdges {
		fmt.Fprintf(&b, "    s%d -> s%d: {protocol: http, env: S%d_URL}\n", e, e+1, e+1)
	}
	b.WriteString("  slos: [slo.yaml]\n")
	return b.String()
}

const judgedSLO = `apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: s0
  indicator:
    metadata: {name: checkout}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(squall_operations_total{operation="checkout",outcome="ok"})'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(squall_operations_total{operation="checkout"})'}}}
  budgetingMethod: Occurrences
  timeWindow: [{duration: 28d, isRolling: true}]
  objectives: [{target: 0.98}]
`

// judgedScenario has 50 assertions of the kinds that cost most.
func judgedScenario() string {
	var b strings.Builder
	fmt.Fprintf(&b, `apiVersion: squall/v1
kind: Scenario
metadata: {name: judged}
spec:
  hypothesis: The shop sells.
  system: system.yaml
  load: {script: load.js, arrival: %d/s}
  phases: {warmup: 2s, baseline: 18s, fault: 25s, recovery: 17s}
  faults: [{id: slow, kind: net-latency, on: s0 -> s1, params: {latency: 10ms}}]
  steady: [{id: ok, slo: checkout}]
  expect:
`, judgedRate)
	for i := range 9 {
		fmt.Fprintf(&b, "    - {id: slo-%d, slo: checkout, atLeast: 9%d%%}\n", i, i)
		fmt.Fprintf(&b, "    - {id: rate-%d, promql: 'sum by (job) (rate(m%d_total[$window]))', above: 0}\n", i, i)
		fmt.Fprintf(&b, "    - {id: p95-%d, promql: 'histogram_quantile(0.95, sum by (job) (rate(d_seconds{job=~\"s.*%d\"}[$window])))', below: 1s}\n", i, i)
		fmt.Fprintf(&b, "    - {id: retry-%d, retry: {edge: s%d -> s%d, attemptsAtMost: 2}}\n", i, i, i+1)
		fmt.Fprintf(&b, "    - {id: grown-%d, compare: 'sum(rate(m%d_total[$window]))', atMost: 2}\n", i, i)
	}
	for i := range 5 {
		fmt.Fprintf(&b, "    - {id: back-%d, recovery: {slo: checkout, within: %ds}}\n", i, 5+i)
	}
	fmt.Fprintf(&b, "  guardrails: [{id: bad, slo: checkout, below: 50%%, for: 3s}]\n")
	return b.String()
}
