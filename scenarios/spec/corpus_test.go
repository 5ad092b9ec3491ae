package spec

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// problemsOf loads a file of the corpus by what its name says it is.
func problemsOf(file string) Problems {
	if strings.Contains(filepath.Base(file), "system") {
		_, ps := LoadSystem(file)
		return ps
	}
	_, ps := Load(file)
	return ps
}

func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			ps := problemsOf(file)
			require.NotEmpty(t, ps)
			var out bytes.Buffer
			require.NoError(t, ps.Format(&out, os.ReadFile))
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", out.Bytes())
			assert.Equal(t, ps.Unique(), ps, "sorted and without duplicates")
		})
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(got))
}

func TestGoodScenario(t *testing.T) {
	s, ps := Load("testdata/good/psp-slow.yaml")
	require.Empty(t, ps)
	assert.Equal(t, "psp-slow", s.Metadata.Name)
	assert.Equal(t, []string{"breaker", "fallback"}, s.Metadata.Tags)
	assert.Equal(t, 40.0, s.Spec.Load.Arrival.PerSecond)
	assert.Equal(t, "2s", s.Spec.Phases.Warmup.String(), "default")

	f := s.Spec.Faults[0]
	assert.Equal(t, "payments -> psp-primary", f.On)
	assert.Equal(t, "fault", f.During, "default")
	assert.Equal(t, Pos{"testdata/good/psp-slow.yaml", 10, 7}, f.Pos)
	assert.Equal(t, Pos{"testdata/good/psp-slow.yaml", 10, 24}, f.Src.At("kind"))

	assert.Equal(t, "baseline", s.Spec.Steady[0].During, "default")
	kinds := []string{}
	for _, c := range s.Spec.Expect {
		kinds = append(kinds, c.Kind)
	}
	assert.Equal(t, []string{"slo", "promql", "breaker", "ledger", "recovery"}, kinds)
	assert.Equal(t, 0.8, s.Spec.Expect[1].Below.Value)
	g := s.Spec.Guardrails[0]
	assert.Equal(t, []any{"too-bad", "slo", "3s", 0.2}, []any{g.ID, g.Kind, g.For.String(), g.Below.Value})
	assert.Equal(t, "D10", s.Spec.Proves[1].Defect)
	assert.Equal(t, 21, s.Spec.Proves[1].Pos.Line)
}

func TestGoodSystem(t *testing.T) {
	s, ps := LoadSystem("testdata/good/system.yaml")
	require.Empty(t, ps)
	names := []string{}
	for _, e := range s.Spec.Edges {
		names = append(names, e.Name()+" "+e.Port)
	}
	assert.Equal(t, []string{"client -> orders http", "orders -> payments http", "orders -> bus client"}, names, "order and spaces")
	payments := s.Spec.Services["payments"]
	assert.Equal(t, []string{"../bin/shop", "payments"}, payments.Command, "own key wins over a merged one")
	assert.Equal(t, "10s", payments.Ready.Within.String(), "merged")
	assert.Equal(t, "4", s.Spec.Services["orders"].Env["WORKERS"], "a number is text as written")
	assert.Equal(t, "20s", s.Spec.Services["bus"].Ready.Within.String(), "default beside a given key")

	good := s.SLOs["checkout-success"]
	assert.Equal(t, `sum(squall_operations_total{operation="checkout",outcome="ok"})`, good.Good)
	assert.Equal(t, `sum(squall_operations_total{operation="checkout"})`, good.Total)
	assert.Equal(t, []any{"Checkouts succeed", 0.99, 9}, []any{good.Title, good.Target, good.Pos.Line})
	byRef := s.SLOs["checkout-reply"]
	assert.Equal(t, []any{"", `sum(squall_operations_total{outcome="unknown"})`, 0.995}, []any{byRef.Good, byRef.Bad, byRef.Target})
	assert.Equal(t, map[string]AlertRule{"CheckoutsFail": {
		Expr: `sum(rate(squall_operations_total{outcome="failed"}[1m])) > 1`, For: 90 * time.Second}}, s.Alerts, "no recording rules")
	assert.Equal(t, []string{"testdata/good/alerts/checkout.yaml"}, s.AlertFiles)
}

func TestLoadUnreadable(t *testing.T) {
	_, ps := Load("testdata/absent.yaml")
	assert.EqualError(t, ps, "testdata/absent.yaml: cannot read: no such file or directory")
	_, ps = LoadSystem("testdata")
	assert.EqualError(t, ps, "testdata: cannot read: is a directory")

	big := filepath.Join(t.TempDir(), "big.yaml")
	require.NoError(t, os.WriteFile(big, bytes.Repeat([]byte("# comment\n"), 200_000), 0o600))
	_, ps = Load(big)
	assert.EqualError(t, ps, big+": the file is larger than 1024 KiB")
}
