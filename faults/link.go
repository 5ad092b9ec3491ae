package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// stageFault is every fault that is nothing but a stage on a link.
type stageFault struct {
	says  string
	stage Stage
}

// stageUndo is all that undoing a stage takes.
type stageUndo struct {
	Stage string `json:"stage"`
}

// Describe says the parameters in words.
func (f stageFault) Describe() string { return f.says }

// Prepare refuses a stage of that name that is not ours to replace.
func (f stageFault) Prepare(ctx context.Context, x Injection) (json.RawMessage, error) {
	link, err := linkOf(x.Target)
	if err != nil {
		return nil, err
	}
	switch _, err := link.StageStatus(ctx, x.ID); {
	case err == nil:
		return nil, fmt.Errorf("stage %q is on %s already", x.ID, link.Name())
	case !errors.Is(err, ErrNoStage):
		return nil, err
	}
	return json.Marshal(stageUndo{Stage: x.ID})
}

// Inject puts the stage on the link.
func (f stageFault) Inject(ctx context.Context, x Injection) error {
	link, err := linkOf(x.Target)
	if err != nil {
		return err
	}
	s := f.stage
	s.Seed, s.Owner, s.Lease = x.Seed, x.Owner, x.Lease
	return link.PutStage(ctx, x.ID, s)
}

// Observe reads the proxy's receipt.
func (f stageFault) Observe(ctx context.Context, x Injection) (Evidence, error) {
	link, err := linkOf(x.Target)
	if err != nil {
		return Evidence{}, err
	}
	st, err := link.StageStatus(ctx, x.ID)
	if errors.Is(err, ErrNoStage) {
		return Evidence{}, nil
	}
	return Evidence{Active: err == nil, Receipt: st.Receipt}, err
}

// revertStage removes the stage; one that is gone, or went with its proxy, is reverted.
func revertStage(ctx context.Context, x Injection, undo json.RawMessage) error {
	var u stageUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return fmt.Errorf("undo data of %s: %w", x.ID, err)
	}
	link, err := linkOf(x.Target)
	if err != nil {
		return err
	}
	err = link.DeleteStage(ctx, u.Stage)
	if errors.Is(err, ErrNoStage) || errors.Is(err, ErrGone) {
		return nil
	}
	return err
}

func linkOf(t Target) (Link, error) {
	link, ok := t.(Link)
	if !ok {
		return nil, fmt.Errorf("%s is no link", t.Name())
	}
	return link, nil
}
