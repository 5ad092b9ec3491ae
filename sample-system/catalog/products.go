package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"squall/sample-system/internal/store"
)

const schema = `CREATE TABLE IF NOT EXISTS products (sku TEXT PRIMARY KEY, title TEXT NOT NULL, price_cents BIGINT NOT NULL)`

// maxListed bounds the list of products.
const maxListed = 100

// product is a row of the catalog.
type product struct {
	sku, title string
	price      int64 // cents
}

// assortment is what a new shop sells; the yacht is dearer than any card's limit.
var assortment = []product{
	{"tea", "Tea, 100 g", 1999}, {"coffee", "Coffee, 250 g", 1999}, {"cocoa", "Cocoa, 200 g", 1999},
	{"mate", "Mate, 500 g", 1999}, {"rooibos", "Rooibos, 100 g", 1999}, {"yacht", "Yacht, used", 5_000_000},
}

var errNoProduct = errors.New("no such product")

type products struct{ db *store.DB }

func (p *products) seed(ctx context.Context) error {
	return p.db.Tx(ctx, func(tx *store.Tx) error {
		for _, x := range assortment {
			_, err := tx.Exec(ctx, `INSERT INTO products (sku, title, price_cents) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, x.sku, x.title, x.price)
			if err != nil {
				return fmt.Errorf("seed products: %w", err)
			}
		}
		return nil
	})
}

func (p *products) get(ctx context.Context, sku string) (product, error) {
	got := product{sku: sku}
	err := p.db.QueryRow(ctx, `SELECT title, price_cents FROM products WHERE sku = ?`, sku).Scan(&got.title, &got.price)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return product{}, errNoProduct
	case err != nil:
		return product{}, fmt.Errorf("read product: %w", err)
	}
	return got, nil
}

func (p *products) list(ctx context.Context) ([]product, error) {
	rows, err := p.db.Query(ctx, `SELECT sku, title, price_cents FROM products ORDER BY sku LIMIT ?`, int64(maxListed))
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	defer rows.Close()
	var all []product
	for rows.Next() {
		var one product
		if err := rows.Scan(&one.sku, &one.title, &one.price); err != nil {
			return nil, fmt.Errorf("list products: %w", err)
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
