//go:build e2e

package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
	"squall/runner/record"
)

// newShopBench has the program as it is built, and no system of its own.
func newShopBench(t *testing.T) *dayBench {
	t.Helper()
	require.NoError(t, build())
	b := emptyDayBench(t)
	var err error
	b.squall, err = filepath.Abs("../../bin/squall")
	require.NoError(t, err)
	return b
}

// The day of the tutorial, on a shop that squall starts.
func TestE2EPlaybook(t *testing.T) {
	b := newShopBench(t)
	b.playbook("service-down")
}

// The three playbooks that are shipped, on a shop that is somebody else's.
func TestE2EPlaybooksOnStaging(t *testing.T) {
	for _, name := range []string{"service-down", "high-latency", "pool-exhausted"} {
		t.Run(name, func(t *testing.T) {
			b := newShopBench(t)
			b.system(newStagingShop(t)) // each its own, so that none begins with what another has left
			require.NoError(t, os.CopyFS(filepath.Join(b.dir, "slo"), os.DirFS("../../sample-system/slo")))
			b.playbook(name, "--system", "system.yaml")
		})
	}
}

// playbook goes through a shipped day under load: every signal that people are
// told to look for is seen, what they do is in the report with its times, and
// everything is healed.
func (b *dayBench) playbook(name string, flags ...string) {
	t := b.t
	t.Helper()
	day, err := filepath.Abs(filepath.Join("../../scenarios/gamedays", name+".yaml"))
	require.NoError(t, err)
	b.must(append([]string{"gameday", "plan", day, "--seed", "1", "-f", "small-day.plan.json"}, flags...)...)
	if len(flags) > 0 {
		b.must("gameday", "approve", "small-day.plan.json", "--key", "ana.key")
	}
	g := b.start()
	g.saysWithin(2*time.Minute, "go", "--as", "ana")
	g.signals(3 * time.Minute)
	g.says("detected", "--as", "ben", "that is not as it should be")
	g.says("ack", "--as", "ben")
	g.says("did", "1", "--as", "ben")
	g.says("note", "--as", "ana", "ben found it")
	g.says("mitigated", "--as", "ben")
	g.ends(app.ExitPass)
	g.nothingLeft()

	r := g.report()
	assert.Empty(t, r.Surprises)
	followed := 0
	for _, s := range r.Steps {
		if s.Playbook == nil {
			continue
		}
		followed++
		for _, sig := range s.Playbook.Signals {
			assert.NotNil(t, sig.Seen, sig.ID)
		}
		assert.NotNil(t, s.Playbook.Steps[0].Done)
		assert.NotNil(t, s.Reaction.Detected)
		assert.NotNil(t, s.Reaction.Acknowledged)
		assert.NotNil(t, s.Reaction.Mitigated)
		assert.NotNil(t, s.Reaction.Healed)
	}
	assert.Equal(t, 1, followed)
	b.must("gameday", "verify", g.runDir())
}

// A scenario that is a step is judged as ever, in a run directory of its own; that
// it fails is a finding, and the day goes on. The day's guardrails are its own.
func TestE2EScenariosOfADay(t *testing.T) {
	const (
		slow   = "{id: slow, scenario: slow.yaml}"
		broken = "{id: broken, scenario: broken.yaml}"
	)
	t.Run("judged", func(t *testing.T) {
		g := scenarioDay(t, keptGuardrail, slow, broken, "{id: calm, hold: 1s}").start()
		g.ends(app.ExitPass)
		g.nothingLeft()
		r := g.report()
		require.Len(t, r.Steps, 3)
		assert.True(t, strings.HasPrefix(r.Steps[0].Text, "pass"), r.Steps[0].Text)
		assert.True(t, strings.HasPrefix(r.Steps[1].Text, "fail"), r.Steps[1].Text)
		require.Len(t, r.Surprises, 1)
		assert.Contains(t, r.Surprises[0], "scenario broken: fail")
		said := g.must("gameday", "verify", g.runDir())
		for _, step := range []string{"slow", "broken"} {
			dir := filepath.Join(g.runDir(), "steps", step)
			assert.Contains(t, said, dir+": ")
			assert.FileExists(t, filepath.Join(dir, "report.html"))
		}
	})
	t.Run("aborted", func(t *testing.T) {
		g := scenarioDay(t, brokenGuardrail, broken, slow).start()
		run := g.ends(app.ExitAborted)
		g.nothingLeft()
		// Day and scenario both look after it; whichever sees it first ends both.
		assert.Regexp(t, "^aborted by (guardrail too-bad|scenario broken)", run.End.Error)
		require.Len(t, g.report().Steps, 1, "nothing more is begun")
		sub, err := record.Open(filepath.Join(g.runDir(), "steps", "broken"))
		require.NoError(t, err)
		assert.Contains(t, []string{record.EndAborted, record.EndInterrupted}, sub.End.Reason)
		assert.Empty(t, sub.End.Dirty)
	})
}

// A scenario may have several faults at once. When a person stops the day, the
// newest is undone first, and all are gone within a second.
func TestE2EGameDayUndoesNewestFirst(t *testing.T) {
	promised(t, time.Second, func() time.Duration { return undoneNewestFirst(t) })
}

func undoneNewestFirst(t *testing.T) time.Duration {
	b := scenarioDay(t, keptGuardrail, "{id: two, scenario: slow.yaml}")
	b.edit("slow.yaml", "fault: 5s", "fault: 60s")
	b.edit("slow.yaml", "  steady:\n", "    - {id: stuck, kind: proc-pause, on: back, at: 1s}\n  steady:\n")
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	b.must("gameday", "approve", "small-day.plan.json", "--key", "ana.key")
	b.must("gameday", "approve", "small-day.plan.json", "--key", "ben.key") // all of back is a high risk
	g := b.start()
	sub := filepath.Join(b.dir, "out", "gameday", "*", "steps", "two")
	inSub := func(id string, state record.FaultState) (at time.Time, ok bool) {
		dirs, err := filepath.Glob(sub)
		require.NoError(t, err)
		if len(dirs) == 0 {
			return at, false
		}
		run, err := record.Open(dirs[0])
		if err != nil {
			return at, false // it is only just being made
		}
		since, ok := until(run, id, state)
		return run.Time(since), ok
	}
	require.Eventually(t, func() bool {
		_, slow := inSub("slow", record.FaultBiting)
		_, stuck := inSub("stuck", record.FaultBiting)
		return slow && stuck
	}, time.Minute, 20*time.Millisecond, "both bite")
	g.says("abort", "--as", "ben")
	run := g.ends(app.ExitAborted)
	g.nothingLeft()
	newest, ok := inSub("stuck", record.FaultGone)
	require.True(t, ok)
	older, ok := inSub("slow", record.FaultReverted)
	require.True(t, ok)
	assert.False(t, older.Before(newest), "the older one waits until the newest is gone")
	gone, ok := inSub("slow", record.FaultGone)
	require.True(t, ok)
	return gone.Sub(run.Time(run.Marks[len(run.Marks)-1].T))
}

// scenarioDay is the small system with customers, and a day of these steps.
func scenarioDay(t *testing.T, guardrail string, steps ...string) *dayBench {
	t.Helper()
	b := newDayBench(t, guardrail)
	b.edit("system.yaml", "  edges:\n", "  edges:\n    client -> front: {protocol: http, env: API_URL}\n")
	day, err := os.ReadFile(filepath.Join(b.dir, "day.yaml"))
	require.NoError(t, err)
	head, _, found := strings.Cut(string(day), "  playbooks:\n")
	require.True(t, found)
	b.write("day.yaml", head+"  steps:\n    - "+strings.Join(steps, "\n    - ")+"\n")

	script, err := os.ReadFile("../squalltest/testdata/ask.js")
	require.NoError(t, err)
	b.write("ask.js", strings.Replace(string(script), "API_URL}/", "API_URL}/work", 1))
	scenario, err := os.ReadFile("../squalltest/testdata/store-slow.yaml")
	require.NoError(t, err)
	text := strings.NewReplacer("api -> store", "front -> back", "declared by the test", "system.yaml").Replace(string(scenario))
	b.write("slow.yaml", text)
	b.write("broken.yaml", strings.NewReplacer("store-slow", "broken", "net-latency", "http-error", "latency: 50ms", "status: 503").Replace(text))
	b.approved()
	return b
}
