package app_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"squall/runner/app"
	"squall/runner/record"
)

// The whole way: planned, approved, run, noted by two people, followed, mitigated,
// reported, verified; and an edited line is named.
func TestGameDay(t *testing.T) {
	for place, bench := range places {
		t.Run(place, func(t *testing.T) {
			b := bench(t, keptGuardrail)
			b.approved()
			g := b.start()
			g.says("go", "--as", "ana")
			g.says("detected", "--as", "ben", "calls fail")
			g.says("ack", "--as", "ben")
			g.says("note", "--as", "ana", "the graph of front looks odd")
			g.says("note", "--as", "ben", "it is the edge to back")
			g.says("did", "1", "--as", "ben")
			g.says("action", "--as", "ana", "page on failed calls")
			g.signals(time.Minute)
			g.says("mitigated", "--as", "ben")
			run := g.ends(app.ExitPass)
			g.nothingLeft()
			require.NotNil(t, run.End)
			assert.Equal(t, record.EndDone, run.End.Reason)
			assert.Empty(t, run.Gaps)

			r := g.report()
			require.Len(t, r.Steps, 2)
			x := r.Steps[1].Reaction
			require.NotNil(t, x)
			for what, at := range map[string]*time.Duration{"signal": x.Signal, "detected": x.Detected, "acknowledged": x.Acknowledged, "mitigated": x.Mitigated, "healed": x.Healed} {
				if assert.NotNil(t, at, what) {
					assert.Positive(t, *at, what)
				}
			}
			assert.Equal(t, []string{"ana"}, r.Approved)
			assert.Empty(t, r.Surprises)
			require.Len(t, r.Actions, 1)
			assert.Equal(t, "page on failed calls", r.Actions[0].Text)
			p := r.Steps[1].Playbook
			require.NotNil(t, p)
			assert.Equal(t, "ben", p.Steps[0].By)
			assert.Nil(t, p.Steps[1].Done, "nobody called the owner")
			page, err := os.ReadFile(filepath.Join(g.runDir(), "report.html"))
			require.NoError(t, err)
			for _, text := range []string{"the graph of front looks odd", "it is the edge to back", "page on failed calls"} {
				assert.Contains(t, string(page), text)
			}

			head := regexp.MustCompile(`head     ([0-9a-f]{64})`).FindStringSubmatch(g.said())
			require.Len(t, head, 2, g.said())
			b.must("gameday", "verify", g.runDir(), "--head", head[1])
			file := filepath.Join(g.runDir(), "run.ndjson")
			lines, err := os.ReadFile(file)
			require.NoError(t, err)
			at := 1 + strings.Count(string(lines[:bytes.Index(lines, []byte("looks odd"))]), "\n")
			require.NoError(t, os.WriteFile(file, bytes.Replace(lines, []byte("looks odd"), []byte("looks fine"), 1), 0o600))
			out, code := b.run("gameday", "verify", g.runDir())
			assert.Equal(t, app.ExitFail, code)
			assert.Contains(t, out, fmt.Sprintf("run.ndjson:%d: entry %d was edited", at, at-1))
		})
	}
}

// People see a signal go once the fault is gone; it is told once that it was seen.
func TestGameDayShowsSignalsGo(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	b.edit("day.yaml", "until: person, playbook: errors}\n", "until: person, playbook: errors}\n    - {id: calm, wait: Is it calm?}\n")
	b.approved()
	g := b.start()
	g.says("go", "--as", "ana")
	g.signals(time.Minute)
	g.says("mitigated", "--as", "ben")
	require.Eventually(t, func() bool {
		run := g.saved()
		gone, ok := until(run, "away", record.FaultGone)
		last := record.WatchEvent{}
		for _, w := range run.Watches {
			if w.ID == "failing" {
				last = w
			}
		}
		return ok && last.T > gone && last.State == "kept"
	}, 30*time.Second, 50*time.Millisecond)
	g.says("go", "--as", "ana")
	run := g.ends(app.ExitPass)
	seen := 0
	for _, m := range run.Marks {
		if m.What == "signal" {
			seen++
		}
	}
	assert.Equal(t, 1, seen)
}

// In a rehearsal all is real but the faults: nobody suffers, and the undo is done.
func TestGameDayRehearsal(t *testing.T) {
	for place, bench := range places {
		t.Run(place, func(t *testing.T) {
			b := bench(t, brokenGuardrail) // it would be broken by the fault
			b.must("gameday", "plan", "day.yaml", "--seed", "1")
			g := b.start("--dry-run") // nobody approved it
			g.says("go", "--as", "ana")
			require.Eventually(t, func() bool {
				run := g.saved()
				_, in := until(run, "away", record.FaultInjected)
				return in && len(run.Watches) > 0
			}, time.Minute, 20*time.Millisecond, "the guardrails are watched")
			g.says("mitigated", "--as", "ana")
			run := g.ends(app.ExitPass)
			g.nothingLeft()
			_, bit := until(run, "away", record.FaultBiting)
			assert.False(t, bit)
			_, gone := until(run, "away", record.FaultGone)
			assert.True(t, gone)
			journal, err := os.ReadFile(filepath.Join(g.runDir(), "undo.ndjson"))
			require.NoError(t, err)
			assert.Contains(t, string(journal), `"step":"reverted"`)
			assert.Contains(t, run.Header.Title, "(rehearsal)")
		})
	}
}

// What has changed since it was approved is not run.
func TestGameDayRefused(t *testing.T) {
	for place, bench := range places {
		t.Run(place, func(t *testing.T) {
			b := bench(t, keptGuardrail)
			b.must("gameday", "plan", "day.yaml", "--seed", "1")
			refused := func(want ...string) {
				t.Helper()
				out, code := b.run("gameday", "run", "small-day.plan.json")
				assert.Equal(t, app.ExitError, code, out)
				for _, w := range want {
					assert.Contains(t, out, w)
				}
			}
			refused("it needs 1 of ana, ben to approve, nobody has")
			out, code := b.run("gameday", "approve", "small-day.plan.json", "--key", "eve.key")
			assert.Equal(t, app.ExitUsage, code)
			assert.Contains(t, out, "this key is no approver's")
			b.must("gameday", "approve", "small-day.plan.json", "--key", "ana.key")
			b.write("FREEZE", "")
			refused("there is a freeze")
			require.NoError(t, os.Remove(filepath.Join(b.dir, "FREEZE")))
			day, err := os.ReadFile(filepath.Join(b.dir, "day.yaml"))
			require.NoError(t, err)
			b.write("day.yaml", strings.Replace(string(day), "front -> back", "driver -> front", 1))
			refused(`drift since the plan was made: steps.away.faults.away.on: was "front -> back", is "driver -> front"`, "inputs.day.yaml")
			b.write("day.yaml", string(day))
			system, err := os.ReadFile(filepath.Join(b.dir, "system.yaml"))
			require.NoError(t, err)
			b.write("system.yaml", strings.Replace(string(system), "front -> back: {protocol: http, env: NEXT_URL", "front -> back: {protocol: http, env: OTHER_URL", 1))
			refused("drift since the plan was made: inputs.system.yaml")
			b.write("system.yaml", string(system))
			plan, err := os.ReadFile(filepath.Join(b.dir, "small-day.plan.json"))
			require.NoError(t, err)
			b.write("small-day.plan.json", strings.Replace(string(plan), `"stands": "2m"`, `"stands": "3m"`, 1))
			refused("signature of ana is not of this plan")
			assert.NoDirExists(t, filepath.Join(b.dir, "out"), "nothing was begun")
		})
	}
}

// A plan is run in its time only, and where what it needs is there.
func TestGameDayNotNow(t *testing.T) {
	for name, tt := range map[string]struct{ old, text, want string }{
		"outside the window": {"  freeze: FREEZE\n", "  window: {from: \"2026-01-01T00:00:00Z\", to: \"2026-01-02T00:00:00Z\"}\n", "outside the window 2026-01-01T00:00:00Z to 2026-01-02T00:00:00Z UTC"},
		"expired":            {"  freeze: FREEZE\n", "  expires: 1s\n", "the plan expired at "},
		"no k6":              {"  freeze: FREEZE\n", "  load: {script: load.js, arrival: 1/s}\n", "preflight: "},
	} {
		t.Run(name, func(t *testing.T) {
			b := newDayBench(t, keptGuardrail)
			b.env = []string{"SQUALL_K6=", "XDG_CACHE_HOME=" + b.dir, "PATH=" + b.dir}
			b.write("load.js", "export default function () {}")
			b.edit("day.yaml", tt.old, tt.text)
			b.must("gameday", "plan", "day.yaml", "--seed", "1")
			out := ""
			require.Eventually(t, func() bool {
				code := 0
				out, code = b.run("gameday", "run", "small-day.plan.json")
				return code == app.ExitError && strings.Contains(out, tt.want)
			}, 20*time.Second, 100*time.Millisecond, "%s", &out)
			assert.NoDirExists(t, filepath.Join(b.dir, "out"), "nothing was begun")
		})
	}
}

// Where a target is not what the system file says, the day ends before anything is done.
func TestGameDayFindsNoTarget(t *testing.T) {
	b := newStagingBench(t, keptGuardrail)
	b.edit("system.yaml", "proxy: back}", "proxy: bakc}")
	b.approved()
	g := b.start()
	run := g.ends(app.ExitError)
	g.nothingLeft()
	assert.Contains(t, run.End.Error, "bakc")
	assert.Empty(t, run.Faults)
	assert.Empty(t, run.Steps)
}

// An approver's key may stay in the SSH agent; the agent's other keys are of no use.
func TestGameDayApprovedByAgent(t *testing.T) {
	b := newDayBench(t, keptGuardrail)
	b.must("gameday", "plan", "day.yaml", "--seed", "1")
	keys := agent.NewKeyring()
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keys, c) }()
		}
	}()
	b.env = []string{"SSH_AUTH_SOCK=" + socket}
	add := func(who string) {
		data, err := os.ReadFile(filepath.Join(b.dir, who+".key"))
		require.NoError(t, err)
		key, err := ssh.ParseRawPrivateKey(data)
		require.NoError(t, err)
		require.NoError(t, keys.Add(agent.AddedKey{PrivateKey: key}))
	}
	add("eve")
	out, code := b.run("gameday", "approve", "small-day.plan.json")
	assert.Equal(t, app.ExitUsage, code)
	assert.Contains(t, out, "the SSH agent has no key of ana, ben")
	add("ben")
	assert.Contains(t, b.must("gameday", "approve", "small-day.plan.json"), "approved by ben: small-day.plan.json.ben.sig")
	b.write("FREEZE", "")
	out, _ = b.run("gameday", "run", "small-day.plan.json")
	assert.NotContains(t, out, "to approve")
}
