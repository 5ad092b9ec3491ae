package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"squall/runner/load"
	"squall/runner/plan"
	"squall/runner/record"
)

// sink writes what the generator says into the record.
type sink struct{ w *record.Writer }

func (s sink) Scrape(x record.Scrape) error       { return s.w.Put(record.Metrics, x) }
func (s sink) Operation(x record.Operation) error { return s.w.Put(record.Ops, x) }
func (s sink) Lost(n uint64)                      { s.w.Lost(record.Metrics, n) }

// startLoad starts k6, if the scenario has load, and returns when its first data
// has arrived.
func (e *engine) startLoad(ctx context.Context) error {
	if !e.Scenario.Spec.Load.Given() {
		return nil
	}
	var stages []record.Stage
	for _, s := range e.Plan.Load.Stages {
		stages = append(stages, record.Stage{At: s.At, Arrival: s.PerSecond})
	}
	env := maps.Clone(e.Env.ClientEnv())
	maps.Copy(env, e.Scenario.Spec.Load.Env)
	gen, err := load.Start(load.Config{
		Binary: e.K6, Script: e.Script, Env: env,
		Arrival: e.Plan.Load.PerSecond, Stages: stages, Duration: e.Plan.Load.Longest + loadMargin,
		Seed: plan.SeedFor(e.Plan.Seed, "load"),
	}, sink{e.Record})
	if err != nil {
		return fmt.Errorf("start load: %w", err)
	}
	e.gen = gen
	_ = e.Record.Append(record.TypeLoad, record.Load{Event: "started", Script: e.Plan.Load.Script, Arrival: e.Plan.Load.PerSecond, Stages: stages})
	select {
	case <-gen.Flowing():
		return e.Record.Append(record.TypeLoad, record.Load{Event: "flowing", Arrival: e.Plan.Load.PerSecond, Stages: stages})
	case <-gen.Done():
		return fmt.Errorf("load ended before it began: %w", gen.Err())
	case <-time.After(flowWithin):
		return fmt.Errorf("load: no data within %s", flowWithin)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// loadEnded is closed when the generator has ended; nil where none runs.
func (e *engine) loadEnded() <-chan struct{} {
	if e.gen == nil {
		return nil
	}
	return e.gen.Done()
}

// stopLoad ends the generator, if one runs, and records how it ended.
func (e *engine) stopLoad(ctx context.Context) error {
	if e.gen == nil {
		return nil
	}
	gen := e.gen
	e.gen = nil
	code, err := gen.Stop(ctx)
	entry := record.Load{Event: "stopped", Code: code}
	if err != nil {
		entry.Error = err.Error()
	}
	return errors.Join(err, e.Record.Append(record.TypeLoad, entry))
}
