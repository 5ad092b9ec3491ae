package notifications

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"squall/sample-system/internal/service"
)

// event is a confirmed order as orders publishes it.
type event struct {
	Version  int    `json:"version"`
	Order    string `json:"order"`
	Customer string `json:"customer"`
	Amount   int64  `json:"amount_cents"`
	At       int64  `json:"confirmed_at"` // Unix nanoseconds
}

func (e event) confirmed() time.Time { return time.Unix(0, e.At) }

// decodeEvent reads an event of version 1 and refuses what it does not know:
// a newer version read as an old one would give a wrong mail.
func decodeEvent(data []byte) (event, error) {
	var e event
	if err := service.DecodeJSON(bytes.NewReader(data), &e); err != nil {
		return event{}, err
	}
	switch {
	case e.Version != 1:
		return event{}, fmt.Errorf("event version %d, want 1", e.Version)
	case !service.ValidID(e.Order):
		return event{}, errors.New("event without a usable order id")
	case e.Customer == "":
		return event{}, errors.New("event without a customer")
	case e.At <= 0:
		return event{}, errors.New("event without a time")
	}
	return e, nil
}
