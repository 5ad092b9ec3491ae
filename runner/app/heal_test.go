package app

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/inject"
	"squall/runner/record"
)

// deadRun is a run directory whose runner has died.
func deadRun(t *testing.T, state string, steps []inject.Step, end *record.End) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	w, err := record.Create(dir, record.Header{Run: "r", Scenario: "s", Started: time.Now()})
	require.NoError(t, err)
	if end != nil {
		require.NoError(t, w.Close(*end))
	}
	if steps != nil {
		j, err := inject.OpenJournal(filepath.Join(dir, "undo.ndjson"))
		require.NoError(t, err)
		for _, s := range steps {
			require.NoError(t, j.Append(inject.Line{ID: "f", Kind: "net-down", On: "a -> b", Step: s, Undo: json.RawMessage(`{}`)}))
		}
		require.NoError(t, j.Close())
	}
	release, err := inject.Lock(state, dir)
	require.NoError(t, err)
	locks, err := filepath.Glob(filepath.Join(state, "runs", "*.json"))
	require.NoError(t, err)
	require.Len(t, locks, 1)
	lock, err := os.ReadFile(locks[0])
	require.NoError(t, err)
	require.NoError(t, release())
	require.NoError(t, os.WriteFile(locks[0], lock, 0o600), "a lock that nobody holds is what a dead process leaves")
	return dir
}

// A run is refused while another has left something, and only then.
func TestRunIsRefusedOverWhatADeadOneLeft(t *testing.T) {
	for name, tt := range map[string]struct {
		steps   []inject.Step
		end     *record.End
		refused bool
	}{
		"died before it injected": {nil, nil, false},
		"died with nothing open":  {[]inject.Step{inject.StepIntent, inject.StepInjected, inject.StepReverted}, nil, false},
		"died with a fault":       {[]inject.Step{inject.StepIntent, inject.StepInjected}, nil, true},
		"died at an intent":       {[]inject.Step{inject.StepIntent}, nil, true},
		"ended and left a stage":  {[]inject.Step{inject.StepIntent, inject.StepReverted}, &record.End{Dirty: []string{"stages of a.b"}}, true},
		"ended as it should":      {[]inject.Step{inject.StepIntent, inject.StepReverted}, &record.End{Reason: record.EndDone}, false},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			dir := deadRun(t, state, tt.steps, tt.end)
			var out bytes.Buffer
			a := &app{Process: Process{Stdout: &out, Stderr: &out, Env: func(k string) string { return map[string]string{"SQUALL_STATE": state}[k] }}}
			err := a.refuseOpenJournals()
			if tt.refused {
				assert.ErrorContains(t, err, dir)
				assert.ErrorContains(t, err, "squall heal")
			} else {
				assert.NoError(t, err)
			}
			dead, err := inject.DeadRuns(state)
			require.NoError(t, err)
			assert.Equal(t, tt.refused, len(dead) == 1, "what left nothing is forgotten")
			for _, d := range dead {
				require.NoError(t, d.Release())
			}
		})
	}
}
