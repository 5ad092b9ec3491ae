package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
)

// Books that are right are calm after a second. Where they break an assertion,
// what is late is waited for, and what does not come is lost in the end.
func TestBooksAreReadUntilTheyAreCalm(t *testing.T) {
	for name, c := range map[string]struct {
		rows      []time.Duration // when each comes
		pending   time.Duration   // until when the first is
		wanted    int             // so many are right
		took      time.Duration
		unsettled bool
	}{
		"right at once":         {rows: []time.Duration{0, 0}, wanted: 2, took: calm},
		"still coming":          {rows: []time.Duration{0, 500 * time.Millisecond, 1250 * time.Millisecond}, wanted: 3, took: 1250*time.Millisecond + calm},
		"late":                  {rows: []time.Duration{0, 4 * time.Second}, wanted: 2, took: 4*time.Second + calm},
		"lost":                  {rows: []time.Duration{0}, wanted: 2, took: calmAmiss},
		"pending for some time": {rows: []time.Duration{0}, pending: 2 * time.Second, wanted: 1, took: 2*time.Second + calm},
		"pending for ever":      {rows: []time.Duration{0}, pending: time.Hour, wanted: 1, took: settleWithin, unsettled: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				read := func(context.Context) (b books) {
					for i, at := range c.rows {
						row := record.AuditRow{Key: string(rune('a' + i))}
						if time.Since(begun) < c.pending {
							row.State = "pending"
						}
						if time.Since(begun) >= at {
							b.rows = append(b.rows, row)
						}
					}
					return b
				}
				b, settled, err := untilCalm(t.Context(), read, func(b books) bool { return len(b.rows) == c.wanted })
				assert.NoError(t, err)
				assert.Equal(t, !c.unsettled, settled)
				assert.Equal(t, read(t.Context()), b)
				assert.InDelta(t, c.took, time.Since(begun), float64(booksEvery))
			})
		})
	}
}
