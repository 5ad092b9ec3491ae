package proxy

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"

	"squall/faults"
)

// stage is a faults.Stage at work, with its counts.
type stage struct {
	faults.Stage
	id      string
	toxics  []*toxic
	removed chan struct{} // closed when the stage goes

	expires time.Time // of the lease, zero: none; guarded by link.mu

	matched     atomic.Uint64 // requests that match an HTTP rule's method and path
	hits        atomic.Uint64
	first, last atomic.Int64 // Unix nanoseconds
	delays      delays
	canary      atomic.Pointer[string]
}

// toxic is one toxic of a stage. Its settings are shared by all connections
// and never change: a change makes a new stage.
type toxic struct {
	toxics.ToxicWrapper
	stage *stage
	key   string // names it among the toxics of a seed
}

// newStage checks s and makes it runnable.
func newStage(id string, s faults.Stage, protocol string) (*stage, error) {
	if err := checkStage(s, protocol); err != nil {
		return nil, fmt.Errorf("stage %s: %w", id, err)
	}
	st := &stage{Stage: s, id: id, removed: make(chan struct{})}
	for i, t := range s.Toxics {
		tx, err := newToxic(t)
		if err != nil {
			return nil, fmt.Errorf("stage %s: toxic %d: %w", id, i, err)
		}
		tx.stage, tx.key = st, fmt.Sprintf("%s/%d", id, i)
		st.toxics = append(st.toxics, tx)
	}
	if s.Lease > 0 {
		st.expires = time.Now().Add(s.Lease)
	}
	return st, nil
}

func newToxic(t faults.Toxic) (*toxic, error) {
	tx := &toxic{ToxicWrapper: toxics.ToxicWrapper{
		Name: t.Name, Type: t.Type, Stream: t.Stream, Toxicity: t.Toxicity,
	}}
	if tx.Stream == "" {
		tx.Stream = stream.Downstream.String()
	}
	var err error
	if tx.Direction, err = stream.ParseDirection(tx.Stream); err != nil {
		return nil, fmt.Errorf("unknown stream %q, expected upstream or downstream", t.Stream)
	}
	if toxics.New(&tx.ToxicWrapper) == nil {
		return nil, fmt.Errorf("unknown toxic type %q", t.Type)
	}
	if t.Type == "bandwidth" {
		tx.Toxic = new(bandwidth)
	}
	if len(t.Attributes) > 0 {
		if err := json.Unmarshal(t.Attributes, tx.Toxic); err != nil {
			return nil, fmt.Errorf("decode attributes of %s: %w", t.Type, err)
		}
	}
	return tx, nil
}

// strikes tells whether the toxic acts on a connection.
func (t *toxic) strikes(conn uint64) bool {
	return chance(t.stage.Seed, t.key, conn) < float64(t.Toxicity)
}

// hit counts n more units affected.
func (s *stage) hit(n uint64) {
	now := time.Now().UnixNano()
	s.first.CompareAndSwap(0, now)
	s.last.Store(now)
	s.hits.Add(n)
}

func (s *stage) unit() string {
	switch {
	case s.HTTP != nil:
		return "requests"
	case len(s.toxics) > 0:
		return "bytes"
	}
	return "connections"
}

func (s *stage) receipt() faults.Receipt {
	r := faults.Receipt{Hits: s.hits.Load(), Unit: s.unit(), Note: s.delays.String()}
	if first := s.first.Load(); first != 0 {
		r.First, r.Last = time.Unix(0, first), time.Unix(0, s.last.Load())
	}
	if note := s.canary.Load(); note != nil {
		r.Note = *note
	}
	return r
}
