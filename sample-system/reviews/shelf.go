package reviews

import (
	"context"
	"fmt"
	"math"
	"net/http"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const schema = `CREATE TABLE IF NOT EXISTS reviews (
	sku TEXT NOT NULL, author TEXT NOT NULL, stars BIGINT NOT NULL, text TEXT NOT NULL, PRIMARY KEY (sku, author))`

// perPage bounds an answer; the newest few are what a page shows.
const perPage = 20

// Reviews is the answer for one product.
type Reviews struct {
	SKU     string   `json:"sku"`
	Stars   float64  `json:"stars"` // mean of 1 to 5, to one digit; 0 without reviews
	Reviews []Review `json:"reviews"`
}

// Review is one customer's opinion.
type Review struct {
	Author string `json:"author"`
	Stars  int    `json:"stars"` // 1 to 5
	Text   string `json:"text"`
}

type shelf struct{ db *store.DB }

func (s *shelf) seed(ctx context.Context) error {
	return s.db.Tx(ctx, func(tx *store.Tx) error {
		for _, sku := range []string{"tea", "coffee", "cocoa", "mate", "rooibos", "yacht"} {
			for _, r := range []Review{{"ada", 5, "Never without " + sku + "."}, {"bob", 4, "Good, if one likes " + sku + "."}} {
				_, err := tx.Exec(ctx, `INSERT INTO reviews (sku, author, stars, text) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, sku, r.Author, int64(r.Stars), r.Text)
				if err != nil {
					return fmt.Errorf("seed reviews: %w", err)
				}
			}
		}
		return nil
	})
}

func (s *shelf) handleGet(w http.ResponseWriter, r *http.Request) error {
	sku := r.PathValue("sku")
	if !service.ValidID(sku) {
		return service.BadRequest("sku: want letters, digits and ._:-")
	}
	got, err := s.get(r.Context(), sku)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, got)
}

// get is a product's reviews; a product without any has an empty list.
func (s *shelf) get(ctx context.Context, sku string) (Reviews, error) {
	rows, err := s.db.Query(ctx, `SELECT author, stars, text FROM reviews WHERE sku = ? ORDER BY author LIMIT ?`, sku, int64(perPage))
	if err != nil {
		return Reviews{}, fmt.Errorf("read reviews: %w", err)
	}
	defer rows.Close()
	out := Reviews{SKU: sku, Reviews: []Review{}}
	sum := 0
	for rows.Next() {
		var one Review
		if err := rows.Scan(&one.Author, &one.Stars, &one.Text); err != nil {
			return Reviews{}, fmt.Errorf("read reviews: %w", err)
		}
		out.Reviews = append(out.Reviews, one)
		sum += one.Stars
	}
	if n := len(out.Reviews); n > 0 {
		out.Stars = math.Round(10*float64(sum)/float64(n)) / 10
	}
	return out, rows.Err()
}
