package postgres

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/storetest"
)

const target = 5 * time.Second // longest gap in writing that a failover may cost

// TestFailover breaks the primary in one way after the other; each time the
// standby takes over and the former primary becomes standby. No acknowledged
// write is lost, and each term has one primary.
func TestFailover(t *testing.T) {
	if !storetest.HavePostgres(t) {
		return
	}
	t.Parallel()
	c := newCluster(t)
	c.start(0)
	c.start(1)
	c.awaitSync()
	require.Equal(t, "primary", c.role(0))
	w := c.writer()
	w.settle(20)
	breaks := []struct {
		name    string
		primary int
		fault   func(i int) (heal func())
		target  time.Duration
	}{
		{"agent and server are killed", 0, func(i int) func() { c.kill(i); return func() { c.start(i) } }, target},
		{"all of it is paused", 1, func(i int) func() { return c.pause(c.all(i)) }, target},
		{"sessions go on while agent and server are paused", 0, func(i int) func() { return c.pause(c.withoutSessions(i)) }, target},
		{"the agent is killed", 1, func(i int) func() { c.killAgent(i); return func() { c.start(i) } }, target},
		{"it ends in good order", 0, func(i int) func() { c.terminate(i); return func() { c.start(i) } }, target / 2},
	}
	for _, b := range breaks {
		heal := b.fault(b.primary)
		c.awaitRole(1-b.primary, "primary")
		gap := w.settle(20)
		t.Logf("%s: gap %v", b.name, gap)
		assert.Less(t, gap, b.target, b.name)
		w.checkNothingLost()
		heal()
		c.awaitRole(b.primary, "standby")
		c.awaitSync()
		w.settle(20)
	}
	w.checkNothingLost()
	terms := c.writersPerTerm(0)
	assert.Len(t, terms, len(breaks)+1)
	for term, writers := range terms {
		assert.Len(t, writers, 1, "primaries of term %s", term)
	}
}

// TestStaleStandbyDoesNotTakeOver: while the standby is away the primary goes on
// alone. Then the standby has not everything, and must not become primary.
func TestStaleStandbyDoesNotTakeOver(t *testing.T) {
	if !storetest.HavePostgres(t) {
		return
	}
	t.Parallel()
	c := newCluster(t)
	c.start(0)
	c.start(1)
	c.awaitSync()
	w := c.writer()
	w.settle(20)

	c.kill(1)
	gap := w.settle(20)
	t.Logf("standby killed: gap %v", gap)
	assert.Less(t, gap, target)

	c.kill(0)
	c.start(1)
	require.Never(t, func() bool { return c.ready(1) }, leaseTime+2*time.Second, 100*time.Millisecond, "the stale standby takes over")
	c.start(0)
	c.awaitSync()
	assert.Equal(t, "primary", c.role(0))
	w.settle(20)
	w.checkNothingLost()
}
