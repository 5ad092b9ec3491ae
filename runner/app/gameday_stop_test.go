package app_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
	"squall/runner/record"
)

// From the breach of a guardrail, an abort from another terminal, or a signal,
// to the last fault seen gone it takes less than a second.
func TestGameDayStops(t *testing.T) {
	for name, tt := range map[string]struct {
		guardrail string
		stop      func(g *going)
		code      int
		reason    string
		from      func(run *record.Run) time.Duration
	}{
		"guardrail": {brokenGuardrail, func(*going) {}, app.ExitAborted, "guardrail too-bad", breach},
		"abort": {keptGuardrail, func(g *going) { g.says("abort", "--as", "ben", "customers call") }, app.ExitAborted, "by ben: customers call", func(run *record.Run) time.Duration {
			return run.Marks[len(run.Marks)-1].T
		}},
		"SIGTERM": {keptGuardrail, func(g *going) { _ = g.cmd.Process.Signal(syscall.SIGTERM) }, app.ExitInterrupted, "", nil},
	} {
		for place, bench := range places {
			t.Run(name+", "+place, func(t *testing.T) {
				b := bench(t, tt.guardrail)
				b.approved()
				g := b.start()
				g.says("go", "--as", "ana")
				g.bites()
				sent := time.Now()
				tt.stop(g)
				run := g.ends(tt.code)
				g.nothingLeft()
				assert.True(t, b.healed())
				gone, ok := until(run, "away", record.FaultGone)
				require.True(t, ok)
				require.NotNil(t, run.End)
				assert.Contains(t, run.End.Error, tt.reason)
				from := run.T(sent.UnixNano())
				if tt.from != nil {
					from = tt.from(run)
				}
				t.Logf("from stop to gone: %s", gone-from)
				assert.Less(t, gone-from, time.Second)
			})
		}
	}
}

// breach is when the fifth call had failed, as the proxy saw it: from then on more
// than four have within half a second.
func breach(run *record.Run) time.Duration {
	n := 0
	for _, x := range run.Exchanges {
		if x.Edge == "driver -> front" && x.Status == http.StatusBadGateway {
			if n++; n == 5 {
				return run.T(x.At + x.Dur)
			}
		}
	}
	return 0
}

// A runner that is killed, or stands still, holds no fault: the supervisor ends
// the system that it began, and a watchdog reverts what was done to any other,
// within the lease. No day begins over what may be left, and abort from another
// terminal clears up.
func TestGameDayLosesItsRunner(t *testing.T) {
	for name, tt := range map[string]struct {
		bench func(t *testing.T, guardrail string) *dayBench
		sig   syscall.Signal
	}{
		"killed":                         {newDayBench, syscall.SIGKILL},
		"killed, on staging":             {newStagingBench, syscall.SIGKILL},
		"killed, on staging with a hook": {newHookBench, syscall.SIGKILL},
		"stopped":                        {newDayBench, syscall.SIGSTOP},
		"stopped, on staging":            {newStagingBench, syscall.SIGSTOP},
	} {
		t.Run(name, func(t *testing.T) {
			b := tt.bench(t, keptGuardrail)
			b.approved()
			g := b.start()
			g.says("go", "--as", "ana")
			g.bites()
			require.False(t, b.healed())
			last := time.Now()
			require.NoError(t, g.cmd.Process.Signal(tt.sig))
			require.Eventually(t, b.healed, 30*time.Second, 20*time.Millisecond, "it heals without its runner")
			t.Logf("healed %s after the signal", time.Since(last).Round(time.Millisecond))
			if tt.sig == syscall.SIGKILL {
				<-g.done
				out, code := b.run("gameday", "run", "small-day.plan.json")
				assert.Equal(t, app.ExitError, code, out)
				assert.Contains(t, out, "left something to undo")
			}
			out := b.must("gameday", "abort", "--as", "ben")
			assert.Contains(t, out, "does not answer")
			assert.Contains(t, out, "nothing is left broken")
			if tt.sig == syscall.SIGSTOP {
				<-g.done // abort has ended it
			}
			g.nothingLeft()
			assert.True(t, b.healed())
			v, err := record.Verify(g.runDir())
			require.NoError(t, err)
			assert.False(t, v.Ended)
		})
	}
}
