package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"squall/faults"
)

// Heal reverts, newest first, whatever a journal leaves open. It may run in any
// process, any number of times. A target that exists no more has nothing left
// to revert. find is given the target's name and its environment's locator.
func Heal(ctx context.Context, path string, reg faults.Registry, find func(on string, locator json.RawMessage) (faults.Target, error), say func(string)) error {
	open, err := ReadJournal(path)
	if err != nil || len(open) == 0 {
		return err
	}
	j, err := OpenJournal(path)
	if err != nil {
		return err
	}
	defer j.Close()
	var errs []error
	for _, l := range slices.Backward(open) {
		how, err := healOne(ctx, l, reg, find)
		if err == nil {
			err = j.Append(Line{ID: l.ID, Kind: l.Kind, On: l.On, Step: StepReverted, By: "heal"})
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("fault %s (%s on %s): %w", l.ID, l.Kind, l.On, err))
			continue
		}
		say(fmt.Sprintf("%s %s on %s: %s", l.ID, l.Kind, l.On, how))
	}
	return errors.Join(errs...)
}

func healOne(ctx context.Context, l Line, reg faults.Registry, find func(string, json.RawMessage) (faults.Target, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stopWithin) // one that hangs leaves time for the others
	defer cancel()
	kind, err := reg.Kind(l.Kind)
	if err != nil {
		return "", err
	}
	target, err := find(l.On, l.Locator)
	if err == nil {
		err = kind.Revert(ctx, faults.Injection{ID: l.ID, Target: target}, l.Undo)
	}
	if errors.Is(err, faults.ErrGone) {
		return "gone with its system", nil
	}
	return "reverted", err
}
