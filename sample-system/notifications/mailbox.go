// Idempotent consumer.
//
// Answers: a message that is delivered twice, because its acknowledgement was
// lost or its consumer died before it. The mail's row has the order as its
// key, so a second delivery finds it and sends nothing.
// Numbers: none; rows are kept for good.
// Costs: one small transaction per mail.
// Breaks without it: scenarios that kill notifications or the bus. No off switch.

package notifications

import (
	"context"
	"fmt"
	"time"

	"squall/sample-system/internal/store"
)

const schema = `
CREATE TABLE IF NOT EXISTS mails (
	order_id TEXT PRIMARY KEY, customer TEXT NOT NULL, amount INTEGER NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;`

type mailbox struct {
	db *store.DB
}

// send writes the mail of an order and reports whether it is the first.
func (m *mailbox) send(ctx context.Context, e event) (first bool, err error) {
	res, err := m.db.Write.ExecContext(ctx, `INSERT OR IGNORE INTO mails VALUES (?,?,?,?)`,
		e.Order, e.Customer, e.Amount, time.Now().UnixNano())
	if err != nil {
		return false, fmt.Errorf("send mail for order %s: %w", e.Order, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}
