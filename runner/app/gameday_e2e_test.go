//go:build e2e

package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
	"squall/runner/gameday"
)

// The three playbooks that are shipped, on the real shop under load: every signal
// that people are told to look for is seen, what they do is in the report with
// its times, and everything is healed.
func TestPlaybooks(t *testing.T) {
	require.NoError(t, build())
	repo, err := filepath.Abs("../..")
	require.NoError(t, err)
	for _, name := range []string{"service-down", "high-latency", "pool-exhausted"} {
		t.Run(name, func(t *testing.T) {
			b := &dayBench{t: t, dir: t.TempDir(), squall: filepath.Join(repo, "bin", "squall")}
			b.state = filepath.Join(b.dir, "state")
			b.must("gameday", "plan", filepath.Join(repo, "scenarios", "gamedays", name+".yaml"), "--seed", "1", "-f", "small-day.plan.json")
			g := b.start()
			g.saysWithin(2*time.Minute, "go", "--as", "ana")
			run := g.signals(3 * time.Minute)
			g.says("detected", "--as", "ben", "that is not as it should be")
			g.says("ack", "--as", "ben")
			g.says("did", "1", "--as", "ben")
			g.says("note", "--as", "ana", "ben found it")
			g.says("mitigated", "--as", "ben")
			g.ends(app.ExitPass)
			g.nothingLeft()
			require.NotEmpty(t, run.Marks)

			var r gameday.Report
			data, err := os.ReadFile(filepath.Join(g.runDir(), "gameday.json"))
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(data, &r))
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
		})
	}
}
