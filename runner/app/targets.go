package app

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/targets"
	"squall/runner/targets/process"
	"squall/runner/targets/remote"
	"squall/runner/watchdog"
	"squall/scenarios/spec"
)

// remote makes the environment of a system that is there already.
func (a *app) remote(sys *spec.System, owner, dir string) *remote.Environment {
	return remote.New(remote.Config{
		System: sys, Owner: owner, Lease: lease, Getenv: a.Env,
		Watchdog: func(ctx context.Context) (remote.Guard, error) { return a.findWatchdog(ctx, sys, dir) },
	})
}

// findWatchdog is that of the system file, or one beside this process.
func (a *app) findWatchdog(ctx context.Context, sys *spec.System, dir string) (remote.Guard, error) {
	w := sys.Spec.Watchdog
	if w == nil {
		logs := filepath.Join(dir, "logs")
		if err := os.MkdirAll(logs, 0o755); err != nil {
			return nil, err
		}
		return watchdog.Start(ctx, a.Self, os.Environ(), filepath.Join(logs, "squall-watchdog.log"))
	}
	token := a.Env(w.TokenEnv)
	if token == "" {
		return nil, fmt.Errorf("%s is not set: it has the token for %s", w.TokenEnv, w.URL)
	}
	return watchdog.NewClient(w.URL, token), nil
}

// findTarget reaches a target of another process's environment.
func (a *app) findTarget(ctx context.Context) func(string, json.RawMessage) (faults.Target, error) {
	return func(on string, locator json.RawMessage) (faults.Target, error) {
		var kind struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(locator, &kind); err == nil && kind.Kind == remote.Kind {
			env, err := remote.Attach(locator, a.Env)
			if err != nil {
				return nil, err
			}
			return env.Target(on)
		}
		env, err := process.Attach(ctx, locator)
		if err != nil {
			return nil, err
		}
		return env.Target(on)
	}
}

// mirror has a journal of faults on what cannot heal itself kept twice.
func mirror(ctx context.Context, env targets.Environment, journal *inject.Journal) {
	if guarded, ok := env.(*remote.Environment); ok {
		journal.Mirror = func(line inject.Line) error {
			text, err := json.Marshal(line)
			if err != nil {
				return err
			}
			return guarded.Note(context.WithoutCancel(ctx), text)
		}
	}
}
