package metrics

import (
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
)

// series holds the changes of one series, by tick of its source. The columns
// only grow, or are replaced: a running query may hold on to them.
type series struct {
	src  *source
	typ  string
	lset labels.Labels

	at []int32                // tick of each change, ascending
	v  []float64              // new values, of a float series
	h  []*histogram.Histogram // new values, of a native histogram

	last point // newest value that is not a staleness marker
	gone bool
}

// standing reports whether the process still exposes the series.
func (s *series) standing() bool { return len(s.at) > 0 && !s.gone }

// counts reports whether the series only grows while its process lives.
func (s *series) counts() bool { return s.typ == typeCounter || s.typ == typeHistogram }

// enter sets a value seen at tick. A counter that appears on a source already
// scraped was 0 at the scrape before, as was every counter before a restart:
// without that zero its first events would count for nothing.
func (s *series) enter(tick int, p point, restarted bool) {
	if s.counts() && s.src.seen && tick > 0 && (len(s.at) == 0 || s.gone || restarted) {
		s.set(tick-1, p.zero())
	}
	s.set(tick, p)
	s.last, s.gone = p, false
}

// end writes a staleness marker: from tick on the series has no value.
func (s *series) end(tick int) {
	if s.typ == typeHistogram {
		s.set(tick, point{h: &histogram.Histogram{Sum: math.Float64frombits(stale)}})
		return
	}
	s.set(tick, point{v: math.Float64frombits(stale)})
}

func (s *series) changedAt(tick int) bool {
	return len(s.at) > 0 && s.at[len(s.at)-1] == int32(tick)
}

// set appends a change; one that is there for the same tick is replaced.
func (s *series) set(tick int, p point) {
	if s.changedAt(tick) { // copied, because a query may be reading the old columns
		n := len(s.at) - 1
		s.at, s.v, s.h = slices.Clone(s.at[:n]), slices.Clone(s.v[:min(n, len(s.v))]), slices.Clone(s.h[:min(n, len(s.h))])
	}
	s.at = append(s.at, int32(tick))
	if p.h != nil {
		s.h = append(s.h, p.h)
	} else {
		s.v = append(s.v, p.v)
	}
}

func (p point) zero() point {
	if p.h == nil {
		return point{}
	}
	return point{h: &histogram.Histogram{Schema: p.h.Schema, ZeroThreshold: p.h.ZeroThreshold}}
}

func (p point) stale() bool {
	if p.h != nil {
		return value.IsStaleNaN(p.h.Sum)
	}
	return value.IsStaleNaN(p.v)
}
