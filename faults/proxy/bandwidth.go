package proxy

import (
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// bandwidth takes the place of Toxiproxy's toxic of that name, with the same
// settings. Theirs gives up a chunk it cannot pass on for 5 s, and writes to
// the process's standard error whenever it is interrupted.
type bandwidth struct {
	Rate int64 `json:"rate"` // kB/s; 0: nothing is limited
}

// slice is how long the bytes that pass at once take: a low rate trickles.
const slice = 100 * time.Millisecond

// Pipe implements toxics.Toxic. The time a chunk takes passes before it does.
func (b *bandwidth) Pipe(stub *toxics.ToxicStub) {
	due := time.Now() // when the line is free again
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			if due = later(due, time.Now()); !b.trickle(stub, c, &due) {
				return
			}
		}
	}
}

// trickle passes c on at the rate; interrupted, it passes the rest at once.
func (b *bandwidth) trickle(stub *toxics.ToxicStub, c *stream.StreamChunk, due *time.Time) bool {
	for rest := c.Data; len(rest) > 0 && b.Rate > 0; {
		part := rest[:min(len(rest), max(1, int(b.Rate*slice.Milliseconds())))]
		*due = due.Add(time.Duration(len(part)) * time.Millisecond / time.Duration(b.Rate))
		if wait := time.Until(*due); wait > 0 {
			timer := time.NewTimer(wait)
			select {
			case <-timer.C:
			case <-stub.Interrupt:
				timer.Stop()
				stub.Output <- &stream.StreamChunk{Data: rest, Timestamp: c.Timestamp}
				return false
			}
		}
		stub.Output <- &stream.StreamChunk{Data: part, Timestamp: c.Timestamp}
		rest = rest[len(part):]
	}
	if b.Rate <= 0 {
		stub.Output <- c
	}
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
