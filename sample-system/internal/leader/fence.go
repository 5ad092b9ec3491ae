// Fencing.
//
// Answers: a leader that was paused (SIGSTOP, a machine that was moved) does not
// know that its lease has run out and that another one leads. It stops by its
// own clock before its lease ends, and renews only what is still its own. But it
// may be paused between looking at the clock and writing, so each write also
// carries its term to the database, which refuses a term lower than one it has
// seen.
// Numbers: it stops a sixth of the lease (0.5 s) early, for clocks that run at
// different speeds and the way of its last renewal.
// Costs: one row per election, and one more statement in each transaction, which
// makes the transactions of one leader wait for each other.
// Breaks without it: scenario leader-paused, TestPausedLeader, TestFence.
// Off switch: D26. A leader believes that it leads until it ends, and renews over
// whoever leads now, in that one's term, which the database then cannot tell
// apart: two writers in one term.

package leader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/store"
)

// Schema is the table that Fence needs; it belongs into the schema of each
// database whose writes are fenced.
const Schema = `CREATE TABLE IF NOT EXISTS fences (name TEXT PRIMARY KEY, term BIGINT NOT NULL);
`

// ErrFenced says that a leader of a later term has written: who gets it does not
// lead any more.
var ErrFenced = errors.New("fenced: another instance leads")

// early is how long before its lease's end a leader stops.
const early = leaseTime / 6

// Fence ends a transaction with ErrFenced if a later term of the election has
// written already, and else keeps all earlier terms from doing so from now on.
// It belongs into the transaction of each write that only the leader may do.
func Fence(ctx context.Context, tx *store.Tx, name string, term int64) error {
	n, err := tx.Exec(ctx, `INSERT INTO fences (name, term) VALUES (?, ?)
		ON CONFLICT (name) DO UPDATE SET term = excluded.term WHERE fences.term <= excluded.term`, name, term)
	if err != nil {
		return fmt.Errorf("fence %s: %w", name, err)
	}
	if n == 0 {
		return fmt.Errorf("%w: %s, term %d", ErrFenced, name, term)
	}
	return nil
}

// lease is what a leader holds.
type lease struct {
	term     int64 // 0: does not lead
	revision uint64
	renewed  time.Time // when its last renewal was sent
	unfenced bool      // D26
}

func newLease(defects defect.Set) lease { return lease{unfenced: defects.Has(defect.NoFencing)} }

// leads reports whether the lease still counts.
func (l lease) leads(now time.Time) bool {
	return l.term != 0 && (l.unfenced || now.Sub(l.renewed) < leaseTime-early)
}

// renew prolongs the lease if it is still the holder's: unchanged since it was
// renewed last. jetstream.ErrKeyRevisionMismatch: it is not.
func (l lease) renew(ctx context.Context, kv jetstream.KeyValue, name, holder string, now time.Time) (lease, error) {
	l.renewed = now
	if l.unfenced {
		return l.seize(ctx, kv, name, holder)
	}
	value, err := json.Marshal(record{holder, l.term})
	if err != nil {
		return l, err
	}
	l.revision, err = kv.Update(ctx, name, value, l.revision)
	return l, err
}

// seize is the renewal of D26: never mind who holds the lease.
func (l lease) seize(ctx context.Context, kv jetstream.KeyValue, name, holder string) (lease, error) {
	if _, held, err := read(ctx, kv, name); err == nil {
		l.term = held.Term
	}
	value, err := json.Marshal(record{holder, l.term})
	if err != nil {
		return l, err
	}
	l.revision, err = kv.Put(ctx, name, value)
	return l, err
}
