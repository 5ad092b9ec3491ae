package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/plan"
	"squall/runner/record"
	"squall/runner/targets"
	"squall/scenarios/spec"
)

// still is an environment that stays as it is told to be.
type still struct {
	world map[string]string
	err   error // of Snapshot
	down  error
	links map[string]*stuck
}

func (s *still) Up(context.Context) error   { return nil }
func (s *still) Down(context.Context) error { return s.down }
func (s *still) Target(name string) (faults.Target, error) {
	if l, ok := s.links[name]; ok {
		return l, nil
	}
	return nil, errors.New("no target " + name)
}
func (s *still) Services() []targets.Service                 { return nil }
func (s *still) ClientEnv() map[string]string                { return nil }
func (s *still) Wire(context.Context) (io.ReadCloser, error) { return nil, errors.New("no wire") }
func (s *still) Events() <-chan targets.Event                { return nil }
func (s *still) Renew(context.Context) error                 { return nil }
func (s *still) Locator() json.RawMessage                    { return nil }
func (s *still) Snapshot(context.Context) (map[string]string, error) {
	return maps.Clone(s.world), s.err
}

// stuck is a link whose stages cannot be removed.
type stuck struct{ err error }

func (l *stuck) Name() string                                         { return "a -> b" }
func (l *stuck) PutStage(context.Context, string, faults.Stage) error { return nil }
func (l *stuck) DeleteStage(context.Context, string) error            { return l.err }
func (l *stuck) StageStatus(context.Context, string) (faults.StageStatus, error) {
	return faults.StageStatus{}, faults.ErrNoStage
}

// What is not as before is dirty, whatever else happened; what went with its
// system is an error of ours, and nothing is left.
func TestFinishSaysWhatIsNotAsBefore(t *testing.T) {
	broken := errors.New("no answer")
	before := map[string]string{"process a": "running", "process by": "running", "stages of a.b": "", "proxy a.b": "enabled true"}
	after := func(key, value string) map[string]string {
		m := maps.Clone(before)
		m[key] = value
		return m
	}
	for name, c := range map[string]struct {
		env    still
		undo   error // of the fault
		heal   error
		want   []string
		reason string
	}{
		"as before":                   {env: still{world: before}, reason: record.EndDone},
		"a stage is left":             {env: still{world: after("stages of a.b", "f")}, want: []string{`stages of a.b: was "", is "f"`}, reason: record.EndDone},
		"a proxy is off":              {env: still{world: after("proxy a.b", "enabled false")}, want: []string{`proxy a.b: was "enabled true", is "enabled false"`}, reason: record.EndDone},
		"a target is dead":            {env: still{world: after("process a", "dead")}, want: []string{`process a: was "running", is "dead"`}, reason: record.EndDone},
		"a target is paused":          {env: still{world: after("process a", "stopped")}, want: []string{`process a: was "running", is "stopped"`}, reason: record.EndDone},
		"a hold is left":              {env: still{world: after("holds on a", "f")}, want: []string{`holds on a: was "", is "f"`}, reason: record.EndDone},
		"a clock is wrong":            {env: still{world: after("clock of a", "+60")}, want: []string{`clock of a: was "", is "+60"`}, reason: record.EndDone},
		"a disk is not as before":     {env: still{world: after("disk of a", "mounted, rules f")}, want: []string{`disk of a: was "", is "mounted, rules f"`}, reason: record.EndDone},
		"a limit is left":             {env: still{world: after("memory limit of a", "1 MB")}, want: []string{`memory limit of a: was "", is "1 MB"`}, reason: record.EndDone},
		"a bystander died":            {env: still{world: after("process by", "dead")}, reason: record.EndDone},
		"the system does not end":     {env: still{world: before, down: broken}, want: []string{"end system: no answer"}, reason: record.EndDone},
		"it cannot be looked at":      {env: still{err: broken}, reason: record.EndError},
		"neither looked at nor ended": {env: still{err: broken, down: broken}, want: []string{"end system: no answer", "snapshot after: no answer"}, reason: record.EndError},
		"undone by heal":              {env: still{world: before}, undo: broken, reason: record.EndError},
		"not undone at all":           {env: still{world: before}, undo: broken, heal: broken, want: []string{"revert: no answer"}, reason: record.EndError},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "run")
			w, err := record.Create(dir, record.Header{Run: "r", Started: time.Now()})
			require.NoError(t, err)
			j, err := inject.OpenJournal(filepath.Join(dir, "undo.ndjson"))
			require.NoError(t, err)
			t.Cleanup(func() { _ = j.Close() })
			c.env.links = map[string]*stuck{"a -> b": {c.undo}}
			e := &engine{before: maps.Clone(before), Config: Config{
				Env: &c.env, Record: w, Journal: j, Heal: func(context.Context) error { return c.heal },
				System: &spec.System{Spec: spec.SystemSpec{Services: map[string]spec.Service{"a": {}, "by": {}}}},
				Plan:   &plan.Plan{Faults: []plan.Fault{{Targets: []plan.Target{{Name: "a"}}}}},
			}}
			e.injector = &inject.Injector{Registry: faults.Builtin(), Find: c.env.Target, Journal: j, Locator: c.env.Locator, Report: func(record.Fault) {}}
			require.NoError(t, e.injector.Start(t.Context(), inject.Spec{ID: "f", Kind: "net-reset", On: "a -> b", Targets: []inject.Target{
				{Name: "a -> b", Kind: "net-reset", Decode: spec.NodeFrom(map[string]any{}).Decode},
			}}))
			end := e.finish(t.Context(), nil)
			for i, what := range c.want {
				c.want[i] = what + "; mend it: squall heal"
			}
			assert.Equal(t, c.want, end.Dirty)
			assert.Equal(t, c.reason, end.Reason, end.Error)
		})
	}
}
