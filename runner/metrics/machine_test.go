package metrics

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

func TestMachineSaysHowBusyItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		var got []record.Scrape
		Machine(ctx, time.Second, func(s record.Scrape) error { got = append(got, s); return nil })
		require.Len(t, got, 3)
		store, err := Load(got)
		require.NoError(t, err)
		res, err := NewEngine().Instant(t.Context(), store, `sum(node_cpu_seconds_total{instance="machine"})`, time.Now())
		require.NoError(t, err)
		require.Len(t, res.Samples, 1)
		assert.Greater(t, res.Samples[0].V, 1.0, "a machine that runs tests has spent more than a second")
		res, err = NewEngine().Instant(t.Context(), store, `machine_cpu_cores`, time.Now())
		require.NoError(t, err)
		assert.GreaterOrEqual(t, res.Samples[0].V, 1.0)
	})
}
