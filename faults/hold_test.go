package faults

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHoldKinds(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		says   string
		hold   Hold
	}{
		{"proc-cpu", map[string]any{"cores": 0.2}, "0.2 of a core", Hold{CPU: 0.2}},
		{"proc-memory", nil, "0B more than now", Hold{Memory: &MemoryRule{}}},
		{"proc-memory", map[string]any{"headroom": "8MiB"}, "8MiB more than now", Hold{Memory: &MemoryRule{Headroom: 8 << 20}}},
		{"proc-restart", nil, "SIGKILL, started again after 0s", Hold{Cycle: &Cycle{Signal: "KILL", Grace: 3 * time.Second, Times: 1}}},
		{"proc-restart", map[string]any{"signal": "TERM", "grace": "1s", "down": "2s"}, "SIGTERM, started again after 2s",
			Hold{Cycle: &Cycle{Signal: "TERM", Grace: time.Second, Down: 2 * time.Second, Times: 1}}},
		{"proc-crash-loop", map[string]any{"up": "1s"}, "SIGKILL, started again after 0s, up for 1s",
			Hold{Cycle: &Cycle{Signal: "KILL", Grace: 3 * time.Second, Up: time.Second}}},
		{"proc-crash-loop", map[string]any{"times": 4}, "SIGKILL, started again after 0s, up for 500ms, 4 times",
			Hold{Cycle: &Cycle{Signal: "KILL", Grace: 3 * time.Second, Up: 500 * time.Millisecond, Times: 4}}},
		{"clock-skew", map[string]any{"offset": "+2m"}, "clock +2m0s", Hold{Clock: 2 * time.Minute}},
		{"clock-skew", map[string]any{"offset": "-1.5s"}, "clock -1.5s", Hold{Clock: -1500 * time.Millisecond}},
		{"disk-full", nil, "no space left", Hold{Disk: &DiskRule{Full: true}}},
		{"disk-full", map[string]any{"first": 2, "from": 3}, "no space left: operations number 3 to 4", Hold{Disk: &DiskRule{Full: true, Match: Match{First: 2, From: 3}}}},
		{"disk-full", map[string]any{"probability": "25%", "ramp": "4s", "cap": 9}, "no space left: 25% of operations, growing over 4s, at most 9",
			Hold{Disk: &DiskRule{Full: true, Match: Match{Probability: 0.25}, Ramp: 4 * time.Second, Cap: 9}}},
		{"disk-slow", map[string]any{"delay": "20ms", "operations": []any{"fsync"}, "every": 2}, "20ms on every fsync: operations number 2, 4, ...",
			Hold{Disk: &DiskRule{Delay: 20 * time.Millisecond, Operations: []DiskOperation{DiskSync}, Match: Match{Every: 2}}}},
		{"disk-slow", map[string]any{"delay": "20ms"}, "20ms", Hold{Disk: &DiskRule{Delay: 20 * time.Millisecond}}},
		{"disk-slow", map[string]any{"delay": "20ms", "jitter": "5ms", "operations": []any{"fsync", "write"}}, "20ms ± 5ms on every fsync, write",
			Hold{Disk: &DiskRule{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Operations: []DiskOperation{DiskSync, DiskWrite}}}},
	} {
		t.Run(c.kind+" "+c.says, func(t *testing.T) {
			k, f := newFault(t, c.kind, c.params)
			assert.Equal(t, c.says, f.Describe())
			h := &memHolder{memProcess: *running()}
			x := Injection{ID: "f1", Target: h, Seed: 7, Owner: "run/1", Lease: time.Second}
			undo, err := f.Prepare(t.Context(), x)
			require.NoError(t, err)
			assert.JSONEq(t, `{"hold":"f1"}`, string(undo))
			assert.Empty(t, h.holds, "prepare only reads")

			require.NoError(t, f.Inject(t.Context(), x))
			c.hold.Seed, c.hold.Owner, c.hold.Lease = 7, "run/1", time.Second
			assert.Equal(t, map[string]Hold{"f1": c.hold}, h.holds)
			_, err = f.Prepare(t.Context(), x)
			require.EqualError(t, err, `hold "f1" is on orders already`)
			e, err := f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.Equal(t, Evidence{Active: true, Receipt: Receipt{Hits: 3, Unit: "periods"}}, e)

			for range 2 { // idempotent
				require.NoError(t, k.Revert(t.Context(), x, undo))
				assert.Empty(t, h.holds)
			}
			e, err = f.Observe(t.Context(), x)
			require.NoError(t, err)
			assert.Equal(t, Evidence{}, e)
			h.gone = true
			require.NoError(t, k.Revert(t.Context(), x, undo))
			require.ErrorContains(t, k.Revert(t.Context(), x, nil), "undo data of f1")
			_, err = f.Prepare(t.Context(), Injection{Target: running()})
			require.EqualError(t, err, "orders is no process of ours")
		})
	}
}

func TestHoldKindsRefuse(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   string
	}{
		{"proc-cpu", nil, "cores"},
		{"proc-cpu", map[string]any{"cores": 0}, "0.01"},
		{"proc-cpu", map[string]any{"cores": -1}, "0.01"},
		{"proc-memory", map[string]any{"headroom": 5}, "is not an amount of data"},
		{"proc-term", map[string]any{"grace": "11s"}, "grace 11s is longer than 10s"},
		{"proc-restart", map[string]any{"grace": "11s"}, "grace 11s is longer than 10s"},
		{"proc-restart", map[string]any{"signal": "HUP"}, "KILL"},
		{"proc-crash-loop", map[string]any{"up": 5}, "needs a unit"},
		{"proc-crash-loop", map[string]any{"times": -1}, "-1"},
		{"clock-skew", nil, "offset"},
		{"clock-skew", map[string]any{"offset": "2m"}, `"2m" needs a sign: write +2m (ahead) or -30s (behind)`},
		{"clock-skew", map[string]any{"offset": "+0s"}, "offset is zero"},
		{"disk-full", map[string]any{"room": "1MiB"}, "room"},
		{"disk-slow", nil, "delay"},
		{"disk-slow", map[string]any{"delay": "0s"}, "delay is zero"},
		{"disk-slow", map[string]any{"delay": "5ms", "jitter": "6ms"}, "jitter 6ms is more than the delay 5ms"},
		{"disk-slow", map[string]any{"delay": "5ms", "operations": []any{"stat"}}, `unknown operation "stat": write read, write or fsync`},
	} {
		k, err := Builtin().Kind(c.kind)
		require.NoError(t, err)
		_, err = k.New(params(c.params))
		assert.ErrorContains(t, err, c.want, "%s %v", c.kind, c.params)
	}
}
