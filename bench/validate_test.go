package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"squall/runner/app"
)

const (
	validateLines  = 5000
	validateRounds = 15
	validateWithin = 100 * time.Millisecond
)

// BenchmarkValidate checks a scenario of 5,000 lines against a system as squall
// validate does, beside a bare YAML decode of the same file in the same rounds.
// What is bounded is the median of CPU time, which on a machine of its own is no
// less than what a person waits, and which other work beside it changes little.
func BenchmarkValidate(b *testing.B) {
	dir := b.TempDir()
	file := writeLong(b, dir)
	src, err := os.ReadFile(file)
	require.NoError(b, err)
	require.GreaterOrEqual(b, bytes.Count(src, []byte("\n")), validateLines)
	var ours, cpu, bare, ratios []float64
	for range b.N * validateRounds {
		begun := time.Now()
		var into any
		require.NoError(b, yaml.Unmarshal(src, &into))
		took := time.Since(begun).Seconds()
		bare = append(bare, took)

		var stdout, stderr bytes.Buffer
		begun = time.Now()
		used := processTime(b)
		code := app.Run(context.Background(), app.Process{Args: []string{"validate", file}, Env: func(string) string { return "" }, Stdout: &stdout, Stderr: &stderr})
		ours = append(ours, time.Since(begun).Seconds())
		cpu = append(cpu, processTime(b)-used)
		ratios = append(ratios, ours[len(ours)-1]/took)
		require.Equal(b, app.ExitPass, code, stderr.String())
	}
	b.ReportMetric(0, "ns/op") // said in milliseconds below
	b.ReportMetric(median(ours)*1000, "ms/validate")
	b.ReportMetric(median(cpu)*1000, "cpu-ms/validate")
	b.ReportMetric(median(bare)*1000, "ms/decode")
	b.ReportMetric(median(ratios), "x-decode")
	if median(cpu) > validateWithin.Seconds() {
		b.Errorf("validate takes %.0f ms of CPU time for %d lines, want at most %s (a bare decode took %.0f ms)", median(cpu)*1000, validateLines, validateWithin, median(bare)*1000)
	}
}

// processTime is the CPU time of this process so far, in seconds.
func processTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// writeLong writes a scenario of so many lines: four of each fault, four of each check.
func writeLong(b *testing.B, dir string) string {
	b.Helper()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		require.NoError(b, os.WriteFile(file, []byte(text), 0o600))
		return file
	}
	write("load.js", "export default function () {}\n")
	write("system.yaml", `apiVersion: squall/v1
kind: System
metadata: {name: long}
spec:
  target: process
  services:
    a: {command: [./a], ports: [http]}
    b: {command: [./b], ports: [http], replicas: 3}
  edges:
    client -> a: {protocol: http, env: A_URL}
    a -> b: {protocol: http, env: B_URL}
`)
	var s strings.Builder
	s.WriteString(`apiVersion: squall/v1
kind: Scenario
metadata:
  name: long
spec:
  hypothesis: Much is asserted.
  system: system.yaml
  load: {script: load.js, arrival: 40/s}
  steady:
    - id: ok
      promql: up
      atLeast: 1
  faults:
`)
	const each = validateLines / 2 / 7
	for i := range each {
		fmt.Fprintf(&s, "    - id: slow-%d\n      kind: net-latency\n      on: a -> b\n      at: 1s\n      params:\n        latency: 300ms\n        jitter: 20ms\n", i)
	}
	s.WriteString("  expect:\n")
	for i := range each {
		fmt.Fprintf(&s, "    - id: opens-%d\n      breaker:\n        edge: a -> b\n        opensWithin: 3s\n        trialCallsAtMost: 3\n        closesWithin: 10s\n        staysClosed: false\n", i)
	}
	return write("long.yaml", s.String())
}
