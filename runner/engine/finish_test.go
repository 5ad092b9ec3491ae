package engine

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"squall/runner/plan"
	"squall/runner/record"
	"squall/scenarios/spec"
)

func TestDifferences(t *testing.T) {
	before := map[string]string{"process a": "running", "stages of a.b": "", "proxy a.b": "enabled"}
	assert.Empty(t, differences(before, map[string]string{"process a": "running", "stages of a.b": "", "proxy a.b": "enabled"}))
	assert.Equal(t, []string{
		`process a: was "running", is "stopped"; mend it: squall heal`,
		`proxy a.b: was "enabled", is ""; mend it: squall heal`,
		`stages of a.b: was "", is "foreign"; mend it: squall heal`,
	}, differences(before, map[string]string{"process a": "stopped", "stages of a.b": "foreign"}))
}

func TestReason(t *testing.T) {
	live, done := context.Background(), func() context.Context {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return ctx
	}()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want string
	}{
		{live, nil, record.EndDone},
		{live, errors.New("no port"), record.EndError},
		{live, fmt.Errorf("%w too-bad", errGuardrail), record.EndAborted},
		{live, fmt.Errorf("%w: ok", errNotSteady), record.EndNotSteady},
		{done, errors.New("start system: context canceled"), record.EndInterrupted},
	} {
		assert.Equal(t, c.want, reason(c.ctx, c.err), "%v", c.err)
	}
}

// The first error is the cause; what fails afterwards is told by the record.
func TestFailKeepsTheFirstError(t *testing.T) {
	end := record.End{Reason: record.EndAborted, Error: "too-bad"}
	fail(&end, errors.New("revert: no answer"))
	fail(&end, errors.New("snapshot: no answer"))
	assert.Equal(t, record.End{Reason: record.EndError, Error: "revert: no answer"}, end)
}

func TestBystanders(t *testing.T) {
	e := &engine{Config: Config{
		System: &spec.System{Spec: spec.SystemSpec{Services: map[string]spec.Service{"a-1": {Of: "a"}, "a-2": {Of: "a"}, "b": {}}}},
		Plan: &plan.Plan{Faults: []plan.Fault{
			{On: "a", Targets: []plan.Target{{Name: "a-1"}, {Name: "a-2"}}},
			{On: "b -> a", Targets: []plan.Target{{Name: "b -> a-1"}}},
		}},
	}}
	assert.Equal(t, []string{"b"}, e.bystanders(), "an instance that a fault is aimed at must be as it was")
}
