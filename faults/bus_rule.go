package faults

import (
	"fmt"
	"time"
)

// BusRule chooses messages of a NATS edge and says what becomes of them. What
// it looks at is narrowed further by the stage's Match: headers and key
// (Nats-Msg-Id or X-Request-Id) of the message, and which of those that are left.
type BusRule struct {
	Of       BusFlow       `json:"of"`
	Subject  string        `json:"subject,omitempty"`  // NATS wildcards; of publish-ack: where the message went
	Stream   string        `json:"stream,omitempty"`   // of ack: whose message
	Consumer string        `json:"consumer,omitempty"` // of ack: whose acknowledgement
	Action   BusAction     `json:"action"`
	Delay    time.Duration `json:"delay,omitempty"` // nanoseconds, for BusDelay
}

// BusFlow is which messages of an edge a rule looks at.
type BusFlow string

// The flows of messages.
const (
	BusDelivery   BusFlow = "delivery"    // from the broker to the edge's caller
	BusPublish    BusFlow = "publish"     // from the edge's caller to the broker
	BusAck        BusFlow = "ack"         // what a consumer acknowledges: JetStream's $JS.ACK.>
	BusPublishAck BusFlow = "publish-ack" // JetStream's answer to a message that was published
)

// BusAction is what becomes of a chosen message.
type BusAction string

// The bus actions.
const (
	// BusDuplicate passes it on twice. What JetStream delivers comes the second
	// time as a redelivery does: same stream sequence, delivery count one higher.
	BusDuplicate BusAction = "duplicate"
	// BusDelay passes it on after Delay; what the rule looks at stays in order.
	BusDelay BusAction = "delay"
	// BusDrop loses it.
	BusDrop BusAction = "drop"
)

// String says what it does to a message.
func (r BusRule) String() string {
	if r.Action == BusDelay {
		return fmt.Sprintf("%s %v", r.Action, r.Delay)
	}
	return string(r.Action)
}
