// Acknowledgement after the work.
//
// Answers: a consumer that dies between taking a message and having done its
// work. The message is acknowledged only when the work is durable, so that it
// comes again, to this or another instance, and the work is done at least once.
// Numbers: none of its own; a message comes again after the ack wait (5 s).
// Costs: work may be repeated, so consumers must be idempotent.
// Breaks without it: scenarios part-filled and poison-notification, TestKilledConsumerLosesNothing. Off switch: D16, acknowledged when received,
// and what was in hand when the consumer died is neither done nor a dead letter.

package bus

import (
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

type acks struct {
	h     *service.Host
	early bool // D16
}

func newAcks(h *service.Host) acks { return acks{h, h.Defects.Has(defect.AckBeforeWork)} }

// received is called once for each delivery, before anything is done.
func (a acks) received(d *delivery) {
	if a.early {
		a.ack(d)
	}
}

// done is called when the work on a message is durable.
func (a acks) done(d *delivery) {
	if !a.early {
		a.ack(d)
	}
}

func (a acks) ack(d *delivery) {
	if err := d.msg.Ack(); err != nil {
		a.h.Logger.Warn("acknowledgement failed, the message will come again", "seq", d.Seq, "error", err)
	}
}
