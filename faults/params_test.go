package faults

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRatio(t *testing.T) {
	for text, want := range map[string]string{"0.3": "30%", "30%": "30%", "1": "100%", "99.5%": "99.5%", "0": "0%"} {
		var r Ratio
		require.NoError(t, r.FromScalar(text))
		assert.Equal(t, want, r.String())
	}
}

// What is read prints as something that reads back the same.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"250ms", "1m30s", "3", "-1s", "", "1e9h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, again Duration
		if d.FromScalar(text) != nil {
			return
		}
		require.GreaterOrEqual(t, time.Duration(d), time.Duration(0))
		require.NoError(t, again.FromScalar(d.String()))
		require.Equal(t, d, again)
	})
}

func FuzzRatio(f *testing.F) {
	for _, s := range []string{"0.3", "30%", "30", "NaN", "-0", "%", "Inf%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r, again Ratio
		if r.FromScalar(text) != nil {
			return
		}
		require.True(t, r >= 0 && r <= 1)
		require.NoError(t, again.FromScalar(r.String()))
		require.LessOrEqual(t, math.Abs(float64(r-again)), 1e-12)
	})
}
