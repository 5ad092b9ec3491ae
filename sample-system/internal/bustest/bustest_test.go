package bustest_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
)

func TestClusterSurvivesANode(t *testing.T) {
	began := time.Now()
	c := bustest.StartCluster(t)
	t.Logf("cluster up after %v", time.Since(began))
	conn, err := nats.Connect(c.URL, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	t.Logf("stream up after %v", time.Since(began))
	publish := func() bool { _, err := js.Publish(t.Context(), "s", nil); return err == nil }
	require.Eventually(t, publish, 10*time.Second, 10*time.Millisecond)

	follower := c.Follower("S")
	c.Stop(follower)
	assert.Eventually(t, publish, 10*time.Second, 10*time.Millisecond)
	c.Restart(follower)
	assert.Eventually(t, publish, 10*time.Second, 10*time.Millisecond)
}
