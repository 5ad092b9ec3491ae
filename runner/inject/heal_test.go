package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

func TestHealGoesOnAfterAnErrorAndAcceptsWhatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "undo.ndjson")
	j, err := OpenJournal(path)
	require.NoError(t, err)
	for _, id := range []string{"zero", "one", "two", "three"} {
		require.NoError(t, j.Append(Line{ID: id, Kind: "net-down", On: id, Step: StepIntent, Undo: json.RawMessage(`{"stage":"` + id + `"}`)}))
	}
	require.NoError(t, j.Close())
	w := newWorld()
	unreachable := errors.New("unreachable")
	find := func(on string, _ json.RawMessage) (faults.Target, error) {
		switch on {
		case "two":
			return nil, unreachable
		case "three":
			return nil, fmt.Errorf("environment: %w", faults.ErrGone)
		}
		return w, nil
	}
	var said []string
	reg, reverted := faults.Builtin(), reverts{}
	down := reg["net-down"]
	undo := down.Revert
	down.Revert = func(ctx context.Context, x faults.Injection, data json.RawMessage) error {
		reverted.add(x.ID)
		return undo(ctx, x, data)
	}
	reg["net-down"] = down
	err = Heal(t.Context(), path, reg, find, func(s string) { said = append(said, s) })
	assert.EqualError(t, err, "fault two (net-down on two): unreachable")
	assert.ErrorIs(t, err, unreachable)
	assert.Equal(t, []string{"three net-down on three: gone with its system", "one net-down on one: reverted", "zero net-down on zero: reverted"}, said)
	assert.Equal(t, []string{"one", "zero"}, reverted.all(), "newest first")
	open, err := ReadJournal(path)
	require.NoError(t, err)
	require.Len(t, open, 1)
	assert.Equal(t, "two", open[0].ID)
}
