// Stock of several articles, taken all or nothing.
//
// Answers: an order of which one article is there and another is not. All lines
// are looked at and taken in one transaction, so nobody sees half of it.
// Numbers: articles are taken in the order of their names, so that two orders
// of the same ones wait for each other instead of deadlocking.
// Costs: orders of one article wait for each other.
// Breaks without it: TestAllOrNothing. No off switch.

package inventory

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"squall/sample-system/internal/store"
)

const initialStock = 1_000_000

const stockSchema = `
CREATE TABLE IF NOT EXISTS stock (sku TEXT PRIMARY KEY, available BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS lines (order_id TEXT NOT NULL, sku TEXT NOT NULL, qty BIGINT NOT NULL, PRIMARY KEY (order_id, sku));`

// sum is one line per article, by name.
func sum(lines []Line) []Line {
	var out []Line
	sorted := slices.SortedFunc(slices.Values(lines), func(a, b Line) int { return strings.Compare(a.SKU, b.SKU) })
	for _, l := range sorted {
		if n := len(out); n > 0 && out[n-1].SKU == l.SKU {
			out[n-1].Qty += l.Qty
		} else {
			out = append(out, l)
		}
	}
	return out
}

// take takes the lines from stock, or nothing when one of them is not there.
func take(ctx context.Context, tx *store.Tx, order string, lines []Line) (taken bool, err error) {
	for _, l := range lines {
		n, err := available(ctx, tx, l.SKU)
		if err != nil || n < l.Qty {
			return false, err
		}
	}
	for _, l := range lines {
		if _, err := tx.Exec(ctx, `INSERT INTO lines VALUES (?,?,?)`, order, l.SKU, l.Qty); err != nil {
			return false, err
		}
		_, err := tx.Exec(ctx, `INSERT INTO stock VALUES (?,?) ON CONFLICT (sku) DO UPDATE SET available = stock.available - ?`,
			l.SKU, initialStock-l.Qty, l.Qty)
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// putBack returns an order's lines to stock.
func putBack(ctx context.Context, tx *store.Tx, order string) error {
	_, err := tx.Exec(ctx, `UPDATE stock SET available = available + (SELECT qty FROM lines WHERE lines.order_id = ? AND lines.sku = stock.sku)
		WHERE sku IN (SELECT sku FROM lines WHERE order_id = ?)`, order, order)
	return err
}

// rower is the database, or a transaction on it.
type rower interface {
	QueryRow(ctx context.Context, query string, args ...any) *sql.Row
}

// available is the stock of an article; one that was never asked for has all of it.
func available(ctx context.Context, q rower, sku string) (n int64, err error) {
	err = q.QueryRow(ctx, `SELECT available FROM stock WHERE sku = ?`, sku).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return initialStock, nil
	}
	return n, err
}
