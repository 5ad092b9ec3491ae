package proxy

import (
	"fmt"
	"time"
)

// bandwidthToxic lets bytes pass at a rate: the time a part takes passes before it does.
type bandwidthToxic struct {
	Rate float64 `json:"rate"` // kB/s; 0: nothing is limited
}

// slice is how long the bytes that pass at once take: a low rate trickles.
const slice = 100 * time.Millisecond

func (b *bandwidthToxic) check() error { return notNegative("rate", b.Rate) }
func (*bandwidthToxic) unit() string   { return unitBytes }

// room is at least what passes in 20 ms, so that a high rate is kept up although
// timers are coarse.
func (b *bandwidthToxic) room() int { return min(max(roomRate, int(b.Rate*20)), roomDelay) }

// shape takes the speed of a growing stage from a line without a limit down to
// the rate: half-way it is twice the rate.
func (b *bandwidthToxic) shape(st *station, p piece) {
	grown := st.growth(p.came)
	if b.Rate <= 0 || grown <= 0 || len(p.data) == 0 {
		st.hold(p, p.came)
		return
	}
	second := b.Rate * 1000 / grown // bytes in a second
	size := max(1, int(second*slice.Seconds()))
	for from := 0; from < len(p.data); from += size {
		part := p.part(from, min(from+size, len(p.data)))
		took := time.Duration(float64(len(part.data)) / second * float64(time.Second))
		st.hold(part, later(st.free, p.came).Add(took))
	}
	p.block.release()
}

// slicerToxic cuts the stream into small pieces.
type slicerToxic struct {
	AverageSize   int     `json:"average_size"`   // bytes
	SizeVariation int     `json:"size_variation"` // bytes, ±; below the average
	Delay         float64 `json:"delay"`          // microseconds between two pieces
}

func (s *slicerToxic) check() error {
	if s.AverageSize < 0 || s.SizeVariation < 0 || s.SizeVariation > 0 && s.SizeVariation >= s.AverageSize {
		return fmt.Errorf("size_variation %d must be below average_size %d, and neither negative", s.SizeVariation, s.AverageSize)
	}
	return notNegative("delay", s.Delay)
}

func (*slicerToxic) unit() string { return unitBytes }
func (*slicerToxic) room() int    { return roomRate }

func (s *slicerToxic) shape(st *station, p piece) {
	if len(p.data) == 0 {
		st.hold(p, p.came)
		return
	}
	pause := time.Duration(s.Delay * float64(time.Microsecond))
	for from := 0; from < len(p.data); {
		to := min(from+s.size(st), len(p.data))
		st.hold(p.part(from, to), p.came)
		st.free = st.free.Add(pause)
		from = to
	}
	p.block.release()
}

func (s *slicerToxic) size(st *station) int {
	spread := float64(s.SizeVariation) * (2*st.roll() - 1)
	return max(1, s.AverageSize+int(spread))
}
