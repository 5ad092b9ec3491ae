package proxy

import (
	"encoding/json"
	"fmt"
	"time"

	"squall/faults"
)

// direction is one way through a link.
type direction int

const (
	upstream   direction = iota // from the caller
	downstream                  // to the caller
	directions                  // how many there are
)

func parseDirection(s string) (direction, error) {
	switch s {
	case "upstream":
		return upstream, nil
	case "downstream", "":
		return downstream, nil
	}
	return 0, fmt.Errorf("unknown stream %q, expected upstream or downstream", s)
}

// What a toxic counts.
const (
	unitBytes       = "bytes"
	unitConnections = "connections"
)

// Bounds of what a toxic holds of one direction of one connection, in bytes.
const (
	roomDelay = 8 << 20  // of what delays: a long line is full of bytes. Toxiproxy's holds 34 MB
	roomRate  = 64 << 10 // of what throttles: the sender must feel it
)

// shaper is a type of toxic with its settings: Toxiproxy's types, its names and
// its units. It is shared by all connections and never changes; what it must
// remember of one is in the station.
type shaper interface {
	// shape gives p, which has come to st, its time there: held whole, in parts, or dropped.
	shape(st *station, p piece)
	// check reports settings that mean nothing.
	check() error
	unit() string
	room() int
}

// alarmed is a shaper that ends the stream by itself, some time after it began
// to act on a connection.
type alarmed interface {
	after() time.Duration // 0: never
	end() error
}

// shapers makes the settings of each type of toxic, to be decoded into.
var shapers = map[string]func() shaper{
	"latency":    func() shaper { return new(latencyToxic) },
	"bandwidth":  func() shaper { return new(bandwidthToxic) },
	"slicer":     func() shaper { return new(slicerToxic) },
	"limit_data": func() shaper { return new(limitToxic) },
	"slow_close": func() shaper { return new(slowCloseToxic) },
	"timeout":    func() shaper { return new(timeoutToxic) },
	"reset_peer": func() shaper { return new(resetToxic) },
}

// toxic is one toxic of a stage. A change makes a new one.
type toxic struct {
	faults.Toxic
	shaper
	dir   direction
	stage *stage
	key   string // names it among the toxics of a seed
}

func newToxic(t faults.Toxic, st *stage, key string) (*toxic, error) {
	dir, err := parseDirection(t.Stream)
	if err != nil {
		return nil, err
	}
	settings := shapers[t.Type]
	if settings == nil {
		return nil, fmt.Errorf("unknown toxic type %q", t.Type)
	}
	s := settings()
	if len(t.Attributes) > 0 {
		if err := json.Unmarshal(t.Attributes, s); err != nil {
			return nil, fmt.Errorf("decode attributes of %s: %w", t.Type, err)
		}
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Type, err)
	}
	return &toxic{Toxic: t, shaper: s, dir: dir, stage: st, key: key}, nil
}

// strikes tells whether the toxic acts on a connection.
func (t *toxic) strikes(conn uint64) bool {
	return t.Toxicity >= 1 || chance(t.stage.Seed, t.key, conn) < float64(t.Toxicity)
}

// growth is how much of its size the toxic has now.
func (st *station) growth(now time.Time) float64 { return st.toxic.stage.ramp(now) }

// millis is a number of milliseconds, as Toxiproxy writes times; ours may have fractions.
type millis float64

func (m millis) duration() time.Duration {
	return time.Duration(float64(m) * float64(time.Millisecond))
}

// notNegative refuses a setting below zero.
func notNegative[T int64 | float64 | millis](name string, v T) error {
	if !(v >= 0) {
		return fmt.Errorf("%s %v is negative", name, v)
	}
	return nil
}
