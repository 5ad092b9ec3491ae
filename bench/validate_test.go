package bench

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

const (
	validateLines  = 5000
	validateRounds = 15
	validateWithin = 100 * time.Millisecond
)

// BenchmarkValidate runs squall validate, the whole command, on a scenario of
// 5,000 lines, and in the same rounds the same command on a short one, which
// is what starting costs, and a bare YAML decode of the long one in this process.
// A person waits for the wall time. Of that and of CPU time the best round tells
// most, since what else the machine does only adds to them. What is bounded is the
// best CPU time: it is no less than the wall time on a machine of its own.
func BenchmarkValidate(b *testing.B) {
	squall := os.Getenv("SQUALL_BIN")
	if squall == "" {
		b.Fatal("SQUALL_BIN must name the binary; run make bench")
	}
	dir := b.TempDir()
	long, short := writeLong(b, dir, "long", validateLines), writeLong(b, dir, "short", 0)
	src, err := os.ReadFile(long)
	require.NoError(b, err)
	require.GreaterOrEqual(b, bytes.Count(src, []byte("\n")), validateLines)
	var wall, cpu, start, bare []float64
	for range b.N * validateRounds {
		begun := time.Now()
		var into any
		require.NoError(b, yaml.Unmarshal(src, &into))
		bare = append(bare, time.Since(begun).Seconds())

		took, used := validate(b, squall, long)
		wall, cpu = append(wall, took), append(cpu, used)
		_, used = validate(b, squall, short)
		start = append(start, used)
	}
	b.ReportMetric(0, "ns/op") // said in milliseconds below
	b.ReportMetric(slices.Min(wall)*1000, "best-ms/validate")
	b.ReportMetric(median(wall)*1000, "ms/validate")
	b.ReportMetric(slices.Min(cpu)*1000, "best-cpu-ms/validate")
	b.ReportMetric(median(cpu)*1000, "cpu-ms/validate")
	b.ReportMetric(slices.Min(start)*1000, "best-cpu-ms/start")
	b.ReportMetric(slices.Min(bare)*1000, "best-ms/decode")
	if best := slices.Min(cpu); best > validateWithin.Seconds() {
		b.Errorf("validate takes %.0f ms of CPU time for %d lines, want at most %s (%.0f ms of it to start)", best*1000, validateLines, validateWithin, slices.Min(start)*1000)
	}
}

// validate runs the command on a file; how long it took, and how much CPU time.
func validate(b *testing.B, squall, file string) (took, used float64) {
	b.Helper()
	cmd := exec.Command(squall, "validate", file)
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(begun).Seconds()
	require.NoError(b, err, "%s", out)
	return took, (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// writeLong writes a scenario of so many lines or little more: seven for each fault
// and each check.
func writeLong(b *testing.B, dir, name string, lines int) string {
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
  name: ` + name + `
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
	each := 1 + lines/2/7
	for i := range each {
		fmt.Fprintf(&s, "    - id: slow-%d\n      kind: net-latency\n      on: a -> b\n      at: 1s\n      params:\n        latency: 300ms\n        jitter: 20ms\n", i)
	}
	s.WriteString("  expect:\n")
	for i := range each {
		fmt.Fprintf(&s, "    - id: opens-%d\n      breaker:\n        edge: a -> b\n        opensWithin: 3s\n        trialCallsAtMost: 3\n        closesWithin: 10s\n        staysClosed: false\n", i)
	}
	return write(name+".yaml", s.String())
}
