package postgres

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestSteps: each case is a row of what the primary sees, a second apart, with
// the step that must follow.
func TestSteps(t *testing.T) {
	away := state{waiting: true}
	back := state{waiting: true, connected: true, counts: true, written: 100, flushed: 90}
	caughtUp := state{waiting: true, connected: true, counts: true, written: 120, flushed: 100}
	alone := state{written: 100}
	type moment struct {
		state
		trusted bool
		want    step
	}
	for name, moments := range map[string][]moment{
		"all is well":              {{caughtUp, true, nothing}, {caughtUp, true, nothing}},
		"the standby dies":         {{away, true, nothing}, {away, true, distrust}, {away, false, goAlone}, {alone, false, nothing}},
		"a blip":                   {{away, true, nothing}, {caughtUp, true, nothing}, {away, true, nothing}},
		"the standby comes back":   {{state{connected: true, written: 100, flushed: 10}, false, wait}, {back, false, nothing}, {back, false, nothing}, {caughtUp, false, trust}},
		"far behind":               {{state{connected: true, written: nearBy, flushed: 0}, false, nothing}},
		"does not count yet":       {{state{waiting: true, connected: true, flushed: 9, written: 1}, false, nothing}, {state{waiting: true, connected: true, flushed: 9, written: 1}, false, nothing}},
		"dies while it catches up": {{back, false, nothing}, {away, false, nothing}, {away, false, goAlone}, {back, false, nothing}, {back, false, nothing}},
		"trusted by mistake":       {{state{connected: true}, true, distrust}, {alone, true, distrust}},
	} {
		t.Run(name, func(t *testing.T) {
			var r replication
			now := time.Now()
			for i, m := range moments {
				assert.Equal(t, m.want.String(), r.next(now.Add(time.Duration(i)*time.Second), m.state, m.trusted).String(), "moment %d", i)
			}
		})
	}
}
