package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What took ten seconds takes one at ten times the pace, and twenty at half of it;
// what lies between is where it was.
func TestReplayKeepsItsPace(t *testing.T) {
	for name, tt := range map[string]struct {
		pace         float64
		second, last time.Duration
	}{
		"as it was": {1, 4 * time.Second, 10 * time.Second},
		"faster":    {10, 400 * time.Millisecond, time.Second},
		"slower":    {0.5, 8 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "run.ndjson")
				out, err := os.Create(path)
				require.NoError(t, err)
				f := &replayFeed{lines: [][]byte{[]byte("header\n"), []byte("second\n"), []byte("last\n")}, at: []time.Duration{0, 4 * time.Second, 10 * time.Second}, out: out}
				begun := time.Now()
				played := make(chan error, 1)
				go func() { played <- f.play(t.Context(), tt.pace) }()
				written := func() int {
					synctest.Wait()
					data, err := os.ReadFile(path)
					require.NoError(t, err)
					return strings.Count(string(data), "\n")
				}
				time.Sleep(tt.second - time.Millisecond)
				assert.Equal(t, 0, written())
				time.Sleep(time.Millisecond)
				assert.Equal(t, 1, written())
				require.NoError(t, <-played)
				assert.Equal(t, tt.last, time.Since(begun))
				assert.Equal(t, 2, written())
				require.NoError(t, f.Close())
			})
		})
	}
}
