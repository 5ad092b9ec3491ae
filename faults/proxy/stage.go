package proxy

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"squall/faults"
)

// stage is a faults.Stage at work, with its counts.
type stage struct {
	faults.Stage
	id      string
	toxics  []*toxic
	removed chan struct{} // closed when the stage goes

	expires time.Time // of the lease, zero: none; guarded by link.mu
	gen     uint64    // of the setting it came into force with; guarded by link.mu

	tally       *tally // shared with the fault's stages on other links
	hits        atomic.Uint64
	first, last atomic.Int64 // Unix nanoseconds
	delays      delays
	canary      atomic.Pointer[string]

	down    bool // flapping, and down now; guarded by link.mu
	outages outages
	issuer  *issuer // of a TLS act's certificates
	answers tlsAnswers
	packets packets

	items  items
	tooBig atomic.Uint64 // messages that a bus rule could not act on
}

// newStage checks s and makes it runnable.
func newStage(id string, s faults.Stage, protocol string) (*stage, error) {
	if err := checkStage(s, protocol); err != nil {
		return nil, fmt.Errorf("stage %s: %w", id, err)
	}
	st := &stage{Stage: s, id: id, removed: make(chan struct{})}
	for i, t := range s.Toxics {
		tx, err := newToxic(t, st, fmt.Sprintf("%s/%d", id, i))
		if err != nil {
			return nil, fmt.Errorf("stage %s: toxic %d: %w", id, i, err)
		}
		st.toxics = append(st.toxics, tx)
	}
	st.down = s.Flap != nil
	if s.TLS != nil {
		var err error
		if st.issuer, err = newIssuer(s.TLS.Cert); err != nil {
			return nil, fmt.Errorf("stage %s: %w", id, err)
		}
	}
	if s.Lease > 0 {
		st.expires = time.Now().Add(s.Lease)
	}
	return st, nil
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
	case s.Bus != nil:
		return "messages"
	case s.Query != nil:
		return "queries"
	case len(s.toxics) > 0:
		return s.toxics[0].unit()
	case s.TLS != nil:
		return "handshakes"
	case s.Packets != nil:
		return "packets"
	}
	return "connections"
}

// perUnit tells whether the stage decides for each request or message, not for
// whole connections.
func (s *stage) perUnit() bool { return s.HTTP != nil || s.Bus != nil || s.Query != nil }

// perConnection tells whether it decides for connections. Who loses packets does neither.
func (s *stage) perConnection() bool { return !s.perUnit() && s.Packets == nil }

// onlyNew tells whether the stage decides for connections as they come, not for
// those that live already.
func (s *stage) onlyNew() bool { return s.Accept > 0 || s.TLS != nil }

// gone tells whether the stage has been removed.
func (s *stage) gone() bool {
	select {
	case <-s.removed:
		return true
	default:
		return false
	}
}

// act says in a word or two what the stage does to a connection.
func (s *stage) act() string {
	var words []string
	for _, t := range s.Toxics {
		if !slices.Contains(words, t.Type) {
			words = append(words, t.Type)
		}
	}
	switch {
	case s.HTTP != nil:
		return s.HTTP.String()
	case s.Bus != nil:
		return s.Bus.String()
	case s.Query != nil:
		return "hold"
	case s.Mode != "":
		words = append(words, string(s.Mode))
	case s.Reset:
		words = append(words, "reset")
	case s.Accept > 0:
		words = append(words, "accept")
	case s.TLS != nil:
		words = append(words, "tls "+string(s.TLS.Cert))
	}
	return strings.Join(words, "+")
}

func (s *stage) receipt() faults.Receipt {
	s.countPackets()
	r := faults.Receipt{Hits: s.hits.Load(), Unit: s.unit(), Items: s.items.all()}
	if first := s.first.Load(); first != 0 {
		r.First, r.Last = time.Unix(0, first), time.Unix(0, s.last.Load())
	}
	r.Note = s.note()
	return r
}

// note says what was measured besides the hits.
func (s *stage) note() string {
	notes := []string{s.delays.String(), s.answers.String(), s.packets.String()}
	if n := s.tooBig.Load(); n > 0 {
		notes = append(notes, fmt.Sprintf("%d messages above %d MB passed as they were", n, maxNATSMessage>>20))
	}
	if !s.awake() {
		notes = append(notes, "asleep: its trigger has not fired")
	}
	if s.Flap != nil {
		notes = append(notes, s.outages.String())
	}
	if canary := s.canary.Load(); canary != nil {
		notes = append(notes, *canary)
	}
	return strings.Join(slices.DeleteFunc(notes, func(n string) bool { return n == "" }), "; ")
}
