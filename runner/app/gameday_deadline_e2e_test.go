//go:build e2e

package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
	"squall/runner/record"
)

// A fault stands no longer than the day, the window of the day, or its own step
// may last, although nobody says anything: it is gone within a second, and exit
// code, record and report say why.
func TestE2EGameDayDeadline(t *testing.T) {
	const lasts = 25 * time.Second // until then the fault must bite
	for name, tt := range map[string]struct {
		old, text string // of the day's file; END is when the window ends
		code      int
		reason    string // END likewise
		surprise  string
		due       func(run *record.Run, end time.Time) time.Duration
	}{
		"of the day": {"deadline: 4m", "deadline: 25s", app.ExitAborted, "aborted because the deadline of 25s has passed", "step away failed: ",
			func(*record.Run, time.Time) time.Duration { return lasts }},
		"of the window": {"  freeze: FREEZE\n", "  window: {from: \"2026-01-01T00:00:00Z\", to: \"END\"}\n", app.ExitAborted,
			"aborted because the window 2026-01-01T00:00:00Z to END UTC has ended", "step away failed: ",
			func(run *record.Run, end time.Time) time.Duration { return run.T(end.UnixNano()) }},
		"of the step": {"for: 2m", "for: 6s", app.ExitPass, "", "nobody mitigated away: its time ended it",
			func(run *record.Run, _ time.Time) time.Duration {
				injected, _ := until(run, "away", record.FaultInjected)
				return injected + 6*time.Second
			}},
	} {
		for place, bench := range places {
			t.Run(fmt.Sprintf("%s, %s", name, place), func(t *testing.T) {
				t.Parallel() // they wait, most of their time
				promised(t, time.Second, func() time.Duration {
					b := bench(t, keptGuardrail)
					end := time.Now().Add(lasts + 5*time.Second).UTC().Truncate(time.Second)
					with := strings.NewReplacer("END", end.Format(time.RFC3339))
					b.edit("day.yaml", tt.old, with.Replace(tt.text))
					b.approved()
					g := b.start()
					g.says("go", "--as", "ana")
					g.bites()
					run := g.ends(tt.code)
					g.nothingLeft()
					assert.True(t, b.healed())

					gone, ok := until(run, "away", record.FaultGone)
					require.True(t, ok)
					late := gone - tt.due(run, end)
					assert.Positive(t, late, "it stands until then")
					require.NotNil(t, run.End)
					assert.Equal(t, with.Replace(tt.reason), run.End.Error)
					r := g.report()
					assert.Equal(t, run.End.Reason, r.Ended)
					assert.Equal(t, run.End.Error, r.Why)
					require.Len(t, r.Surprises, 1, "nobody mitigated it, or its step was cut off")
					assert.Contains(t, r.Surprises[0], tt.surprise)
					return late
				})
			})
		}
	}
}
