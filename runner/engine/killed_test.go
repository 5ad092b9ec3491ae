package engine

import (
	"context"
	"encoding/json"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/record"
	"squall/runner/targets"
	"squall/runner/targets/process"
	"squall/runner/verdict"
)

// healer reverts as another process would.
func healer(journal string) func(context.Context) error {
	return func(ctx context.Context) error {
		return inject.Heal(ctx, journal, faults.Builtin(), func(on string, where json.RawMessage) (faults.Target, error) {
			env, err := process.Attach(ctx, where)
			if err != nil {
				return nil, err
			}
			return env.Target(on)
		}, func(string) {})
	}
}

// Without the proxy there are no faults and no evidence: a run that loses it
// while a fault stands is an error that says so, and never a pass.
func TestRunThatLosesItsProxyIsNoPass(t *testing.T) {
	cfg := instancesConfig(t)
	journal := filepath.Join(cfg.Record.Dir(), "undo.ndjson")
	cfg.Heal = healer(journal)
	run, err := record.Open(cfg.Record.Dir())
	require.NoError(t, err)
	killed := make(chan error, 1)
	go func() {
		killed <- func() error {
			for {
				if err := run.Refresh(); err != nil {
					return err
				}
				var pid int
				for _, p := range run.Processes {
					if p.Service == targets.ProxyProcess && p.PID > 0 {
						pid = p.PID
					}
				}
				for _, f := range run.Faults {
					if f.State == record.FaultBiting {
						return syscall.Kill(pid, syscall.SIGKILL)
					}
				}
				select {
				case <-t.Context().Done():
					return t.Context().Err()
				case <-time.After(20 * time.Millisecond):
				}
			}
		}()
	}()
	end, err := Run(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, <-killed)
	assert.Equal(t, record.EndError, end.Reason)
	assert.Contains(t, end.Error, targets.ProxyProcess)
	assert.Empty(t, end.Dirty, "what was in the proxy went with it")
	open, err := inject.ReadJournal(journal)
	require.NoError(t, err)
	assert.Empty(t, open)

	again, err := record.Open(cfg.Record.Dir())
	require.NoError(t, err)
	result := cfg.Judge.Judge(t.Context(), again)
	assert.Equal(t, verdict.Error, result.Verdict)
	assert.Contains(t, result.Sentence, targets.ProxyProcess)
}
