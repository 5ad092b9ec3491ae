package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"squall/faults"
)

// Heal reverts whatever a journal leaves open, newest first, as a runner does. It
// may run in any process, any number of times. A target that exists no more has
// nothing left to revert. find is given the target's name and its environment's
// locator; what was done is said newest first.
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
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	slices.Reverse(open)
	hows, errs := make([]string, len(open)), make([]error, len(open))
	heal := func(i int) {
		l := open[i]
		if hows[i], errs[i] = healOne(ctx, l, reg, find); errs[i] == nil {
			errs[i] = j.Append(Line{ID: l.ID, Kind: l.Kind, On: l.On, Step: StepReverted, By: "heal"})
		}
	}
	groups := byFault(open)
	newestFirst(len(groups), func(n int) {
		var parts sync.WaitGroup
		for _, i := range groups[n] {
			parts.Go(func() { heal(i) })
		}
		parts.Wait()
	})
	for i, l := range open {
		if errs[i] == nil {
			say(fmt.Sprintf("%s %s on %s: %s", l.ID, l.Kind, l.On, hows[i]))
			continue
		}
		errs[i] = fmt.Errorf("fault %s (%s on %s): %w", l.ID, l.Kind, l.On, errs[i])
	}
	return errors.Join(errs...)
}

// byFault are the places of the lines of each fault, which is reverted at once.
func byFault(lines []Line) (groups [][]int) {
	at := map[string]int{}
	for i, l := range lines {
		n, known := at[l.ID]
		if !known {
			n = len(groups)
			at[l.ID], groups = n, append(groups, nil)
		}
		groups[n] = append(groups[n], i)
	}
	return groups
}

func healOne(ctx context.Context, l Line, reg faults.Registry, find func(string, json.RawMessage) (faults.Target, error)) (string, error) {
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
