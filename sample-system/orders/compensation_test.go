package orders

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

// TestCompensationSurvives: an instance dies while it cannot undo an order; the
// other one, or its own next life, undoes it. Under D19 nobody does.
func TestCompensationSurvives(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		defects []string
		heir    string
		final   bool
	}{
		"taken over":         {nil, "orders-2", true},
		"after a restart":    {nil, "orders-1", true},
		"D19, the other":     {[]string{defect.CompensationInRAM}, "orders-2", false},
		"D19, after restart": {[]string{defect.CompensationInRAM}, "orders-1", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPartners(t)
			p.setFault(func(route string, _ int) string {
				if route == routeCommit || route == routeRefund {
					return fails
				}
				return ""
			})
			h := servicetest.Host(t, tt.defects...)
			dead := parts(t, h, p, "orders-1")
			s, err := dead.place(t.Context(), placed("a"))
			require.NoError(t, err)
			assert.Equal(t, "cancelled", s.answer().Status)
			runUntil(t, dead.compensator.run, func() bool { return p.called(routeRefund) > 0 })

			p.setFault(func(string, int) string { return "" })
			heir := sibling(t, h, p, tt.heir, tt.defects...)
			if tt.heir == "orders-1" {
				require.NoError(t, heir.log.reclaim(t.Context()))
			} else {
				leaseEnds(t, heir.log)
			}
			if tt.final {
				runUntil(t, heir.compensator.run, func() bool { return stateOf(t, heir.log, "a").final() })
			} else {
				ctx, cancel := context.WithTimeout(t.Context(), compensateInterval+compensateInterval/2)
				defer cancel()
				require.NoError(t, heir.compensator.run(ctx))
			}
			assert.Equal(t, tt.final, stateOf(t, heir.log, "a") == stateCancelled)
			reservation, charge := p.effects("a")
			if tt.final {
				assert.Equal(t, "undone undone", reservation+" "+charge)
			} else {
				assert.Equal(t, "done done", reservation+" "+charge, "stock and money are held for ever")
			}
		})
	}
}

// TestCompensationRepeats: as long as nothing succeeds one order is tried at a
// time; when the partner is back, all are undone.
func TestCompensationRepeats(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		p := newPartners(t)
		p.setFault(func(route string, n int) string {
			if route == routeCommit || route == routeRefund && n <= 3 {
				return refuses
			}
			return ""
		})
		o := parts(t, h, p, "orders-1")
		for _, id := range []string{"a", "b", "c"} {
			_, err := o.place(t.Context(), placed(id))
			require.NoError(t, err)
		}
		runUntil(t, o.compensator.run, func() bool {
			return stateOf(t, o.log, "a").final() && stateOf(t, o.log, "b").final() && stateOf(t, o.log, "c").final()
		})
		for _, id := range []string{"a", "b", "c"} {
			assert.Equal(t, stateCancelled, stateOf(t, o.log, id))
			p.mu.Lock()
			assert.Equal(t, 2, p.undone[id], "one refund and one release")
			p.mu.Unlock()
		}
	})
}

func TestUndo(t *testing.T) {
	lost, refused := &stepError{errors.New("lost"), true}, &stepError{errors.New("refused"), false}
	for _, tt := range []struct {
		at     state
		failed error
		want   state
	}{
		{stateReserving, refused, stateCancelled}, // nothing was done
		{stateReserving, lost, stateReleasing},    // may have been done
		{stateReserving, errInterrupted, stateReleasing},
		{stateCharging, refused, stateReleasing},
		{stateCharging, lost, stateRefunding},
		{stateCharging, errInterrupted, stateRefunding},
		{stateCommitting, lost, stateRefunding},
		{stateCommitting, refused, stateRefunding},
	} {
		assert.Equal(t, tt.want, undo(tt.at, tt.failed), "%s after %v", tt.at, tt.failed)
	}
}
