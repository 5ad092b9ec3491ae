package proxy

import (
	"context"
	"slices"
	"sync"
)

// ProtocolNATS is the protocol of an edge whose messages are looked at.
const ProtocolNATS = "nats"

// natsConn pumps the NATS client protocol. What it cannot frame, such as TLS,
// passes as plain TCP from there, and the connection counts as blind.
type natsConn struct {
	*conn

	mu      sync.Mutex
	awaited []natsAwaited // oldest first
}

// natsAwaited is a message whose acknowledgement by JetStream a rule waits for.
type natsAwaited struct {
	reply string
	id    string
	stage *stage
}

// maxNATSAwaited bounds what a connection remembers; no answer comes to most of
// what is older.
const maxNATSAwaited = 1024

// serve passes messages both ways until both sides are done, and returns the
// wire log's word for a failure.
func (n *natsConn) serve(ctx context.Context) string {
	if err := n.dial(ctx); err != nil {
		n.reset()
		return dialWord(err)
	}
	up := make(chan string, 1)
	n.lanes.Go(func() { up <- n.direction(&n.up, n.toUpstream(), errWordCallerLeft, errWordUpstream) })
	down := n.direction(&n.down, n.toCaller(), errWordUpstream, errWordCallerLeft)
	if word := <-up; word != "" {
		return word
	}
	return down
}

func (n *natsConn) direction(in *inlet, out *outlet, srcWord, dstWord string) string {
	err, broken := newNATSLane(n, in, out, in == &n.down).pump()
	return n.ended(err, broken, out, srcWord, dstWord)
}

// await remembers that an acknowledgement of m will come to its reply subject.
func (n *natsConn) await(m *natsMessage, st *stage) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.awaited) == maxNATSAwaited {
		n.awaited = slices.Delete(n.awaited, 0, maxNATSAwaited/2)
	}
	n.awaited = append(n.awaited, natsAwaited{string(m.reply), m.id(), st})
}

func (n *natsConn) awaits(subject []byte, st *stage) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.awaitedBy(subject, st) >= 0
}

func (n *natsConn) awaitedBy(subject []byte, st *stage) int {
	return slices.IndexFunc(n.awaited, func(a natsAwaited) bool { return a.stage == st && a.reply == string(subject) })
}

// answered forgets what was awaited and names it.
func (n *natsConn) answered(subject []byte, st *stage) (id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.awaitedBy(subject, st)
	if i < 0 {
		return ""
	}
	id = n.awaited[i].id
	n.awaited = slices.Delete(n.awaited, i, i+1)
	return id
}
