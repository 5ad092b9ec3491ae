package shipping

import (
	"bytes"
	"context"

	"squall/sample-system/internal/service"
)

// QuoteSubject is where delivery times are asked for: {"sku"} gives {"days"}.
const QuoteSubject = "shipping.quote"

// quoted is the answer to a request for a quote.
type quoted struct {
	Days int `json:"days"`
}

func quote(_ context.Context, in []byte) (any, error) {
	var q struct {
		SKU string `json:"sku"`
	}
	if err := service.DecodeJSON(bytes.NewReader(in), &q); err != nil {
		return nil, service.BadRequest(err.Error())
	}
	if !service.ValidID(q.SKU) {
		return nil, service.Invalid("sku is not an id")
	}
	return quoted{Days: days(q.SKU)}, nil
}

// days is 1 to 4: near or far away is the shelf, and always the same.
func days(sku string) int {
	sum := 0
	for _, c := range sku {
		sum += int(c)
	}
	return 1 + sum%4
}
