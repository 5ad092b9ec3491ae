//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bus"
)

// dlq runs `shop dlq` as an operator does, against all three nodes.
func (s *shop) dlq(args ...string) string {
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(os.Args[0], append([]string{"dlq"}, args...)...)
	cmd.Env = append(os.Environ(), "SHOP_TEST_PROCESS=1", "NATS_URL="+s.list("client", "nats-1", "nats-2", "nats-3"))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(s.t, cmd.Run(), "%s", &stderr)
	return stdout.String()
}

// letters are the dead letters of an operation, by their consumer.
func (s *shop) letters(id string) map[string]bus.Letter {
	var all []bus.Letter
	require.NoError(s.t, json.Unmarshal([]byte(s.dlq("list", "--json")), &all))
	mine := map[string]bus.Letter{}
	for _, l := range all {
		if l.Key == id {
			mine[l.Consumer] = l
		}
	}
	return mine
}

// testDeadLetters: what nobody can read lies with each consumer, is replayed by
// hand for one of them, and comes back there once, with its count.
func (s *shop) testDeadLetters(t *testing.T) {
	conn, err := nats.Connect(s.addr["nats-1.client"])
	require.NoError(t, err)
	defer conn.Close()
	m := nats.NewMsg("orders.confirmed")
	m.Data = []byte(`{"version":99}`)
	m.Header.Set("X-Request-Id", "unreadable")
	m.Header.Set("Nats-Msg-Id", "unreadable-1")
	_, err = conn.RequestMsg(m, 5*time.Second)
	require.NoError(t, err)

	var dead map[string]bus.Letter
	require.Eventually(t, func() bool { dead = s.letters("unreadable"); return len(dead) == 3 }, 15*time.Second, 100*time.Millisecond, "one for each consumer")
	for _, consumer := range []string{"notifications", "shipping", "history"} {
		l := dead[consumer]
		assert.Equal(t, "orders.confirmed", l.Subject, consumer)
		assert.Equal(t, m.Data, l.Data, consumer)
		assert.NotEmpty(t, l.Cause, consumer)
		assert.Zero(t, l.Replays, consumer)
	}
	assert.Contains(t, s.dlq("list"), dead["shipping"].Cause)

	seq := dead["shipping"].Seq
	assert.Equal(t, fmt.Sprintf("replayed %d\n", seq), s.dlq("replay", "--seq", fmt.Sprint(seq)))
	require.Eventually(t, func() bool {
		dead = s.letters("unreadable")
		l, back := dead["shipping"]
		return back && l.Replays == 1
	}, 15*time.Second, 100*time.Millisecond, "it comes back with its count")
	assert.NotEqual(t, seq, dead["shipping"].Seq)
	assert.Zero(t, dead["notifications"].Replays, "the others' are left alone")
	assert.Len(t, dead, 3)
}
