package call

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/servicetest"
)

// TestDialForServedCall: net/http repeats a call whose kept connection was dead
// before anything was written. Its new dial does not wait at a gate, since the
// call counts as served; that is no cancellation by the caller.
func TestDialForServedCall(t *testing.T) {
	d := newDialer(servicetest.Host(t), "test -> callee")
	const nobody = "127.0.0.1:1"
	_, err := d.dial(t.Context(), "tcp", nobody)
	require.Error(t, err)
	d.gates[nobody].until = time.Now().Add(time.Hour)
	ctx, served := wanting(t.Context())
	served()
	_, err = d.dial(ctx, "tcp", nobody)
	require.ErrorIs(t, err, errGate)
	require.NotErrorIs(t, err, context.Canceled)
	assert.True(t, NotSent(err))
	var op *net.OpError
	assert.ErrorAs(t, err, &op)
}
