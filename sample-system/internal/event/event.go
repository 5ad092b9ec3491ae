// Package event is what orders tells the other services: an envelope with a
// type and a version, and data whose shape the two decide.
package event

import "time"

// Types of events. Each is also the subject it is published on.
const (
	OrderPlaced    = "orders.placed"
	OrderConfirmed = "orders.confirmed"
	OrderCancelled = "orders.cancelled"
)

// Event is one fact about one order. It is the same whatever version it was
// written in.
type Event struct {
	Type    string
	Version int    // of the encoding it was read from; Encode writes the newest
	ID      string // unique: "<order id>.<seq>"
	Key     string // order id: events of one key are published in the order of Seq
	Seq     int64  // version of the order after this event, from 1
	At      time.Time
	Data    Data
}

// Data is what happened.
type Data struct {
	Customer    string
	Items       []Item // none in version 1
	AmountCents int64
	Reason      string // why cancelled, else empty
}

// Item is one line of an order.
type Item struct {
	SKU string `json:"sku"`
	Qty int    `json:"qty"`
}
