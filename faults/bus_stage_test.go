package faults

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMessageStages pins what each bus and db kind tells the proxy, and how it says so.
func TestMessageStages(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		says   string
		stage  string
	}{
		{"bus-duplicate", map[string]any{"subject": "orders.>"}, "every delivery twice of orders.>: every message",
			`{"bus":{"of":"delivery","subject":"orders.>","action":"duplicate"}}`},
		{"bus-duplicate", map[string]any{"subject": "orders.*", "of": "publish", "header": map[string]any{"Event": "new*"}, "key": "o-*", "first": 2, "cap": 1},
			"every publish twice of orders.*: the first 2 messages, Event: new*, key o-*, at most 1",
			`{"bus":{"of":"publish","subject":"orders.*","action":"duplicate"},"match":{"header":{"Event":"new*"},"key":"o-*","first":2},"cap":1}`},
		{"bus-delay", map[string]any{"subject": "a", "delay": "2s", "probability": "10%", "ramp": "5s"}, "every delivery 2s later of a: 10% of messages, growing over 5s",
			`{"bus":{"of":"delivery","subject":"a","action":"delay","delay":2000000000},"match":{"probability":0.1},"ramp":5000000000}`},
		{"bus-drop-ack", nil, "acknowledgements of consumers lost: every message", `{"bus":{"of":"ack","action":"drop"}}`},
		{"bus-drop-ack", map[string]any{"stream": "ORDERS", "consumer": "mail", "every": 3}, "acknowledgements of consumers lost (ORDERS mail): messages number 3, 6, ...",
			`{"bus":{"of":"ack","stream":"ORDERS","consumer":"mail","action":"drop"},"match":{"every":3}}`},
		{"bus-drop-ack", map[string]any{"of": "publisher", "subject": "orders.new"}, "acknowledgements of publications lost of orders.new: every message",
			`{"bus":{"of":"publish-ack","subject":"orders.new","action":"drop"}}`},
		{"db-hang", nil, "no answer to every statement", `{"query":{}}`},
		{"db-hang", map[string]any{"statement": "COMMIT", "from": 2, "cap": 1}, "no answer (COMMIT) to statements from number 2 on, at most 1",
			`{"query":{"statement":"COMMIT"},"match":{"from":2},"cap":1}`},
	} {
		t.Run(c.kind+" "+c.says, func(t *testing.T) { makesStage(t, c.kind, c.params, c.says, c.stage) })
	}
}

func TestMessageParamsRefused(t *testing.T) {
	for _, c := range []struct {
		kind   string
		params map[string]any
		want   string
	}{
		{"bus-duplicate", nil, "subject"},
		{"bus-duplicate", map[string]any{"subject": "orders..new"}, `subject "orders..new" is no subject: write orders.confirmed, orders.* or orders.>`},
		{"bus-duplicate", map[string]any{"subject": ">.new"}, "is no subject"},
		{"bus-duplicate", map[string]any{"subject": "ord*"}, "is no subject"},
		{"bus-duplicate", map[string]any{"subject": "a", "of": "both"}, "both"},
		{"bus-duplicate", map[string]any{"subject": "a", "first": 1, "every": 2}, "first and every exclude each other"},
		{"bus-duplicate", map[string]any{"subject": "a", "probability": "30"}, "30"},
		{"bus-duplicate", map[string]any{"subject": "a", "header": map[string]any{"a b": "x"}}, `header "a b" is malformed`},
		{"bus-delay", map[string]any{"subject": "a"}, "delay"},
		{"bus-delay", map[string]any{"subject": "a", "delay": "0s"}, "delay is zero"},
		{"bus-delay", map[string]any{"subject": "a", "delay": "5"}, "needs a unit"},
		{"bus-drop-ack", map[string]any{"subject": "a"}, "write stream and consumer"},
		{"bus-drop-ack", map[string]any{"of": "publisher"}, "is no subject"},
		{"bus-drop-ack", map[string]any{"of": "publisher", "subject": "a", "stream": "S"}, "write subject"},
		{"bus-drop-ack", map[string]any{"stream": "S.x"}, `"S.x" is no name`},
		{"bus-node-kill", map[string]any{"stream": "S.>"}, `"S.>" is no name`},
		{"bus-node-kill", map[string]any{"role": "follower"}, "role follower needs a stream"},
		{"db-lock", nil, "write either table or advisory"},
		{"db-lock", map[string]any{"table": "a", "advisory": 1}, "write either table or advisory"},
		{"db-lock", map[string]any{"table": "a; DROP TABLE b"}, "is no name"},
		{"db-hang", map[string]any{"probability": "0"}, "probability is zero"},
	} {
		k, err := Builtin().Kind(c.kind)
		require.NoError(t, err)
		_, err = k.New(params(c.params))
		assert.ErrorContains(t, err, c.want, "%s %v", c.kind, c.params)
	}
}
