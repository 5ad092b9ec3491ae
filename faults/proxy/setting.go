package proxy

import (
	"slices"

	"github.com/Shopify/toxiproxy/v2/stream"

	"squall/faults"
)

// setting is all that is in force on a link. It never changes; a change of
// stages makes a new one and closes changed of the old one.
type setting struct {
	gen     uint64 // grows when bytes are treated differently than before
	changed chan struct{}

	stages []*stage // in order of arrival
	refuse *stage   // the first of its kind; nil: none
	hang   *stage
	reset  *stage
	rules  []*stage
	toxics [stream.NumDirections][]*toxic
}

func newSetting(prev *setting, stages []*stage) *setting {
	s := &setting{gen: prev.gen, changed: make(chan struct{}), stages: stages}
	for _, st := range stages {
		switch {
		case st.HTTP != nil:
			s.rules = append(s.rules, st)
		case st.Mode == faults.LinkRefuse && s.refuse == nil:
			s.refuse = st
		case st.Mode == faults.LinkHang && s.hang == nil:
			s.hang = st
		case st.Reset && s.reset == nil:
			s.reset = st
		}
		for _, t := range st.toxics {
			s.toxics[t.Direction] = append(s.toxics[t.Direction], t)
		}
	}
	if !s.treatsBytesAs(prev) {
		s.gen++
	}
	return s
}

func (s *setting) treatsBytesAs(o *setting) bool {
	return s.hang == o.hang &&
		slices.Equal(s.toxics[stream.Upstream], o.toxics[stream.Upstream]) &&
		slices.Equal(s.toxics[stream.Downstream], o.toxics[stream.Downstream])
}

// drawn returns the toxics that act on one direction of a connection.
func (s *setting) drawn(dir stream.Direction, conn uint64) (drawn []*toxic) {
	for _, t := range s.toxics[dir] {
		if t.strikes(conn) {
			drawn = append(drawn, t)
		}
	}
	return drawn
}
