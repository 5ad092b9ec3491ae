package metrics

import (
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// view is a series as it was when a query began. It implements storage.Series.
type view struct {
	lset  labels.Labels
	ticks []int64
	at    []int32
	v     []float64
	h     []*histogram.Histogram
}

func (s *series) view() view {
	return view{lset: s.lset, ticks: s.src.ticks, at: s.at, v: s.v, h: s.h}
}

// Labels returns the labels, with the name.
func (w view) Labels() labels.Labels { return w.lset }

// Iterator returns a new iterator; there is nothing worth reusing in an old one.
func (w view) Iterator(chunkenc.Iterator) chunkenc.Iterator {
	return &iterator{view: w, tick: -1, c: -1}
}

// iterator walks the ticks of a source and repeats a value at every tick until
// it changes. Of a stretch without value it gives only the marker at its start.
type iterator struct {
	view
	tick int // index of the current sample's tick
	c    int // index of the change in force
}

// Next moves to the next sample.
func (it *iterator) Next() chunkenc.ValueType {
	if it.c < 0 {
		return it.move(0)
	}
	return it.move(it.tick + 1)
}

// Seek moves forward to the first sample at or after t, in Unix milliseconds.
func (it *iterator) Seek(t int64) chunkenc.ValueType {
	if it.c >= 0 && it.tick < len(it.ticks) && it.ticks[it.tick] >= t {
		return it.valueType()
	}
	from := max(it.tick, 0)
	if from >= len(it.ticks) {
		return chunkenc.ValNone
	}
	return it.move(from + sort.Search(len(it.ticks)-from, func(i int) bool { return it.ticks[from+i] >= t }))
}

// move goes to the first sample at or after a tick.
func (it *iterator) move(tick int) chunkenc.ValueType {
	c := max(it.c, 0)
	c += sort.Search(len(it.at)-c, func(i int) bool { return int(it.at[c+i]) > tick }) - 1
	if c < 0 || (it.point(c).stale() && tick > int(it.at[c])) {
		c++ // nothing stands at that tick: on to the next change
	}
	if c >= len(it.at) || tick >= len(it.ticks) {
		it.tick, it.c = len(it.ticks), len(it.at)-1
		return chunkenc.ValNone
	}
	it.tick, it.c = max(tick, int(it.at[c])), c
	return it.valueType()
}

func (it *iterator) point(c int) point {
	if it.h != nil {
		return point{h: it.h[c]}
	}
	return point{v: it.v[c]}
}

func (it *iterator) valueType() chunkenc.ValueType {
	if it.h != nil {
		return chunkenc.ValHistogram
	}
	return chunkenc.ValFloat
}

// At returns time and value of a float sample.
func (it *iterator) At() (int64, float64) { return it.ticks[it.tick], it.v[it.c] }

// AtHistogram returns a copy: the engine changes what it is given.
func (it *iterator) AtHistogram(to *histogram.Histogram) (int64, *histogram.Histogram) {
	if to == nil {
		return it.ticks[it.tick], it.h[it.c].Copy()
	}
	it.h[it.c].CopyTo(to)
	return it.ticks[it.tick], to
}

// AtFloatHistogram returns a copy: the engine changes what it is given.
func (it *iterator) AtFloatHistogram(to *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return it.ticks[it.tick], it.h[it.c].ToFloat(to)
}

// AtT returns the time of the sample.
func (it *iterator) AtT() int64 { return it.ticks[it.tick] }

// AtST returns 0: start timestamps are not kept.
func (it *iterator) AtST() int64 { return 0 }

// Err returns nil: nothing can fail.
func (it *iterator) Err() error { return nil }
