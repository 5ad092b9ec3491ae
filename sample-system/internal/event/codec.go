package event

import (
	"encoding/json"
	"fmt"
	"time"

	"squall/sample-system/internal/service"
)

// newest is the version that Encode writes.
const newest = 2

// maxSize bounds an event, in bytes; one of a hundred lines has 20 000.
const maxSize = 64 << 10

// Encode writes an event in the newest version, whatever its Version says.
func Encode(e Event) ([]byte, error) {
	b, err := json.Marshal(envelope{
		Type: e.Type, Version: newest, ID: e.ID, Key: e.Key, Seq: e.Seq, At: e.At.UTC(),
		Data: data{e.Data.Customer, e.Data.Items, euros(e.Data.AmountCents), e.Data.Reason},
	})
	if err != nil {
		return nil, fmt.Errorf("encode event %s: %w", e.ID, err)
	}
	return b, nil
}

// envelope is an event of the newest version on the wire.
type envelope struct {
	Type    string    `json:"type"`
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Key     string    `json:"key"`
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Data    data      `json:"data"`
}

type data struct {
	Customer string `json:"customer"`
	Items    []Item `json:"items"`
	Amount   money  `json:"amount"`
	Reason   string `json:"reason,omitempty"`
}

// Decoder reads events of all known versions. It may be used concurrently.
type Decoder struct{ versions versions }

// NewDecoder is a decoder with the defects of the host.
func NewDecoder(h *service.Host) *Decoder {
	return &Decoder{newVersions(h)}
}

// Decode reads an event. The error for one whose version is not known, or that
// its schema does not allow, names the cause.
func (d *Decoder) Decode(b []byte) (Event, error) {
	doc, err := parse(b)
	if err != nil {
		return Event{}, err
	}
	v, err := d.versions.of(doc)
	if err != nil {
		return Event{}, err
	}
	if err := v.schema.check(doc); err != nil {
		return Event{}, fmt.Errorf("event %s version %d: %w", doc.text("type"), v.number, err)
	}
	e, err := v.read(doc)
	if err != nil {
		return Event{}, fmt.Errorf("event %s version %d: %w", doc.text("type"), v.number, err)
	}
	return e, nil
}
