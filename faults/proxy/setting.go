package proxy

import (
	"slices"
	"time"

	"squall/faults"
)

// setting is all that is in force on a link. It never changes; a change of
// stages makes a new one and closes changed of the old one.
type setting struct {
	gen     uint64 // grows when bytes are treated differently than before
	changed chan struct{}

	stages []*stage // in order of arrival
	awake  []*stage // those that act; the rest waits for a trigger
	// growing: a ramp was under way when this was made, so it may act on more by now.
	growing bool
	refuse  *stage // the first of its kind; nil: none
	hang    []*stage
	reset   []*stage
	rules   []*stage
	bus     []*stage
	holds   []*stage // of answers to queries
	flaps   []*stage
	accept  []*stage
	tls     []*stage
	packets []*stage
	toxics  [directions][]*toxic
}

func newSetting(prev *setting, stages []*stage) *setting {
	s := &setting{gen: prev.gen, changed: make(chan struct{}), stages: stages}
	for _, st := range stages {
		if st.HTTP != nil { // asked for each request whether it is awake
			s.rules = append(s.rules, st)
		}
		if st.Bus != nil { // likewise for each message
			s.bus = append(s.bus, st)
		}
		if st.Query != nil {
			s.holds = append(s.holds, st)
		}
		if !st.awake() {
			continue
		}
		s.awake = append(s.awake, st)
		switch {
		case st.Flap != nil:
			s.flaps = append(s.flaps, st)
		case st.Accept > 0:
			s.accept = append(s.accept, st)
		case st.TLS != nil:
			s.tls = append(s.tls, st)
		case st.Packets != nil:
			s.packets = append(s.packets, st)
		case st.Mode == faults.LinkRefuse && s.refuse == nil:
			s.refuse = st
		case st.Mode == faults.LinkHang:
			s.hang = append(s.hang, st)
		case st.Reset:
			s.reset = append(s.reset, st)
		}
		for _, t := range st.toxics {
			s.toxics[t.dir] = append(s.toxics[t.dir], t)
		}
		if st.down && s.refuse == nil {
			s.refuse = st
		}
	}
	s.growing = s.ramping()
	if !s.treatsBytesAs(prev) || prev.growing {
		s.gen++
	}
	return s
}

func (s *setting) treatsBytesAs(o *setting) bool {
	return slices.Equal(s.hang, o.hang) &&
		slices.Equal(s.toxics[upstream], o.toxics[upstream]) &&
		slices.Equal(s.toxics[downstream], o.toxics[downstream])
}

// ramping tells whether a stage is about to act on more connections than before.
func (s *setting) ramping() bool {
	now := time.Now()
	return slices.ContainsFunc(s.awake, func(st *stage) bool {
		return st.Ramp > 0 && st.perConnection() && !st.growsInSize() && st.ramp(now) < 1
	})
}

// drawn returns the toxics that act on one direction of a connection.
func (s *setting) drawn(dir direction, c *conn) (drawn []*toxic) {
	for _, t := range s.toxics[dir] {
		if t.strikes(c.id) && c.chosen(t.stage) {
			drawn = append(drawn, t)
		}
	}
	return drawn
}
