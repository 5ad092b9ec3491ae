// Events of an order.
//
// Answers: a state that nobody can explain, and a program error that
// overwrites it. What happened is written and never changed; the state is the
// fold of it, and can be computed again at any time (see rebuild.go).
// Numbers: four events for a confirmed order, so that folding needs no
// snapshots. The position in the log is also the intent: behind "reserved" the
// charge may have been made, whether or not its answer was seen.
// Costs: one insert per step beside the update of the table of orders.
// Breaks without it: TestRebuild, TestTwoWriters. No off switch.

package orders

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// state of an order: the step that is about to be made, or the final state.
//
//	reserving ─▶ charging ─▶ committing ─▶ confirmed
//	    │            │            │            │ withdrawn by the customer
//	    │            └──▶ refunding ◀──────────┘
//	    ▼                   │
//	releasing ◀─────────────┘  ─▶ cancelled
type state string

const (
	stateReserving  state = "reserving"
	stateCharging   state = "charging"
	stateCommitting state = "committing"
	stateConfirmed  state = "confirmed"
	stateRefunding  state = "refunding"
	stateReleasing  state = "releasing"
	stateCancelled  state = "cancelled"
)

func (s state) final() bool { return s == stateConfirmed || s == stateCancelled }

// decided: whether the order succeeds is settled, though it may not be done.
func (s state) decided() bool {
	return s.final() || s == stateRefunding || s == stateReleasing
}

// kind of an event.
type kind string

const (
	kindPlaced    kind = "placed"
	kindReserved  kind = "reserved"
	kindCharged   kind = "charged"
	kindConfirmed kind = "confirmed" // the reservation is committed too
	kindFailed    kind = "failed"    // a step; the order is undone from Undo on
	kindWithdrawn kind = "withdrawn" // cancelled by the customer when confirmed
	kindRefunded  kind = "refunded"
	kindReleased  kind = "released"
)

// fact is one event of an order. Only placed, failed and withdrawn have data.
type fact struct {
	Seq  int64 // 1, 2, ...
	Kind kind
	At   int64 // Unix nanoseconds
	Data factData
}

type factData struct {
	Customer string `json:"customer,omitempty"`
	Items    []Item `json:"items,omitempty"`
	Lines    []Line `json:"lines,omitempty"`
	Amount   int64  `json:"amount_cents,omitempty"`
	Trace    string `json:"traceparent,omitempty"`

	Undo   state  `json:"undo,omitempty"`
	Code   int    `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// moves are the states that an event without data leads to, by the state
// before. Whatever is not here cannot happen.
var moves = map[kind]map[state]state{
	kindReserved:  {stateReserving: stateCharging},
	kindCharged:   {stateCharging: stateCommitting},
	kindConfirmed: {stateCommitting: stateConfirmed},
	kindRefunded:  {stateRefunding: stateReleasing},
	kindReleased:  {stateReleasing: stateCancelled},
}

// apply is the fold: the order after one more event.
func (o order) apply(f fact) (order, error) {
	if f.Seq != o.Seq+1 {
		return o, fmt.Errorf("order %s: event %d after %d", o.ID, f.Seq, o.Seq)
	}
	var next state
	var ok bool
	switch f.Kind {
	case kindPlaced:
		next, ok = stateReserving, o.State == ""
		o.Customer, o.Items, o.Lines, o.Amount, o.Trace = f.Data.Customer, f.Data.Items, f.Data.Lines, f.Data.Amount, f.Data.Trace
	case kindFailed:
		next, ok = f.Data.Undo, o.State != "" && !o.State.decided() && f.Data.Undo.decided() && f.Data.Undo != stateConfirmed
		o.Code, o.Reason = f.Data.Code, f.Data.Reason
	case kindWithdrawn:
		next, ok = stateRefunding, o.State == stateConfirmed
		o.Code, o.Reason = http.StatusConflict, f.Data.Reason
	default:
		next, ok = moves[f.Kind][o.State], moves[f.Kind][o.State] != ""
	}
	if !ok {
		return o, fmt.Errorf("order %s: event %q in state %q", o.ID, f.Kind, o.State)
	}
	o.State, o.Seq, o.At = next, f.Seq, f.At
	return o, nil
}

// fold is the state of an order after all its events.
func fold(id string, facts []fact) (order, error) {
	o := order{ID: id}
	var err error
	for _, f := range facts {
		if o, err = o.apply(f); err != nil {
			return order{}, err
		}
	}
	return o, nil
}

func encodeData(d factData) (string, error) {
	b, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("encode event: %w", err)
	}
	return string(b), nil
}

// decodeData reads what encodeData wrote.
func decodeData(text string) (d factData, err error) {
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return factData{}, fmt.Errorf("decode event: %w", err)
	}
	return d, nil
}
