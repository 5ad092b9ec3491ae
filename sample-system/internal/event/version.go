// Versions of events.
//
// Answers: producers and consumers that are not deployed at the same moment. A
// consumer reads all versions from the oldest that may still be in the stream;
// one that it does not know is refused, never guessed at, and waits among the
// dead letters for a consumer that knows it.
// Numbers: versions 1 and 2; version 1 had the amount as cents and no lines.
// Costs: consumers must be deployed before producers of a new version.
// Breaks without it: scenario versions, TestUnknownVersion. Off switch: D35, an unknown version
// is read as if it were the first: the amount comes out wrong.

package event

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// versions are those that are known.
type versions struct {
	schemas schemas
	any     bool // D35
}

func newVersions(h *service.Host) versions {
	return versions{compile(), h.Defects.Has(defect.NoVersionCheck)}
}

// version is how to check and how to read one version of a type.
type version struct {
	number int64
	schema *schema
	data   func(o object) (Data, error)
}

var readers = map[int64]func(o object) (Data, error){1: readV1, 2: readV2}

// of finds out what a document claims to be.
func (v versions) of(doc object) (version, error) {
	kind, number := doc.text("type"), doc.number("version")
	if v.schemas[kind+".v1"] == nil {
		return version{}, fmt.Errorf("unknown event type %.40q", kind)
	}
	read := readers[number]
	switch {
	case read != nil:
		return version{number, v.schemas[kind+".v"+strconv.FormatInt(number, 10)], read}, nil
	case v.any:
		return version{number, nil, readV1}, nil
	default:
		return version{}, fmt.Errorf("event %s has version %d, known are 1 to %d", kind, number, newest)
	}
}

func (v version) read(doc object) (Event, error) {
	at, err := time.Parse(time.RFC3339Nano, doc.text("at"))
	if err != nil {
		return Event{}, fmt.Errorf("read time: %w", err)
	}
	data, err := v.data(doc.object("data"))
	if err != nil {
		return Event{}, err
	}
	return Event{
		Type: doc.text("type"), Version: int(v.number), ID: doc.text("id"), Key: doc.text("key"),
		Seq: doc.number("seq"), At: at, Data: data,
	}, nil
}

func readV1(o object) (Data, error) {
	return Data{Customer: o.text("customer"), AmountCents: o.number("amount_cents"), Reason: o.text("reason")}, nil
}

func readV2(o object) (Data, error) {
	amount, err := cents(o.object("amount").text("value"))
	if err != nil {
		return Data{}, err
	}
	d := Data{Customer: o.text("customer"), AmountCents: amount, Reason: o.text("reason")}
	for _, item := range o.objects("items") {
		d.Items = append(d.Items, Item{SKU: item.text("sku"), Qty: int(item.number("qty"))})
	}
	return d, nil
}

type money struct {
	Value    string `json:"value"` // a decimal: a float would round money
	Currency string `json:"currency"`
}

func euros(cents int64) money {
	return money{Value: fmt.Sprintf("%d.%02d", cents/100, cents%100), Currency: "EUR"}
}

// cents reads what euros has written.
func cents(value string) (int64, error) {
	n, err := strconv.ParseInt(strings.Replace(value, ".", "", 1), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read amount: %w", err)
	}
	return n, nil
}
