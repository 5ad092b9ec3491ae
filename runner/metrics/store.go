// Package metrics scrapes a system's metrics, keeps them, and evaluates PromQL
// over them without a Prometheus server. What it keeps is built from the
// record alone, so a saved run answers every query as the live run did.
package metrics

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"squall/runner/record"
)

// Values of record.Series.Type. A classic histogram's and a summary's _bucket,
// _count and _sum series are counters; a native histogram is one series.
const (
	typeCounter   = "counter"
	typeGauge     = "gauge"
	typeHistogram = "histogram"
	typeUnknown   = "unknown"
)

// startTime is the gauge by which a restarted process is told from one that
// only failed to answer a scrape.
const startTime = "process_start_time_seconds"

// Store holds the samples of a run. It implements storage.Queryable and is
// safe for concurrent use: a query sees the store as it was when it began.
//
// A series is kept as its changes over the ticks of its source, so a value
// that stands still costs nothing.
type Store struct {
	mu      sync.RWMutex
	sources map[string]*source
	series  map[uint32]*series
	byName  map[string][]*series
}

// source is one scraped target.
type source struct {
	ticks  []int64 // Unix milliseconds, ascending, failed scrapes included
	series []*series
	up     *series
	seen   bool // answered at least once
	down   bool // did not answer the last scrape
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{sources: map[string]*source{}, series: map[uint32]*series{}, byName: map[string][]*series{}}
}

// Load returns a store of the scrapes of a record, which are in order of time
// within each source.
func Load(scrapes []record.Scrape) (*Store, error) {
	s := NewStore()
	for _, sc := range scrapes {
		if err := s.Append(sc); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Append adds one scrape. It fails, and adds nothing, if the scrape is not
// after the last one of its source (in milliseconds), names an unknown series or
// holds a histogram that cannot be.
func (s *Store) Append(sc record.Scrape) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.sources[sc.Source]
	hs, err := decodeAll(sc.H)
	if err = errors.Join(s.check(src, sc), err); err != nil {
		return fmt.Errorf("metrics: append scrape of %s at %d: %w", sc.Source, sc.At, err)
	}
	if src == nil {
		src = s.addSource(sc.Source, cmp.Or(sc.Job, sc.Source))
	}
	src.ticks = append(src.ticks, millis(sc.At))
	tick := len(src.ticks) - 1
	if !sc.Up {
		src.fail(tick)
		return nil
	}
	src.up.set(tick, point{v: 1})
	for _, n := range sc.New {
		s.addSeries(src, n)
	}
	s.apply(src, tick, sc, hs)
	src.seen, src.down = true, false
	return nil
}

func decodeAll(vs []record.HistValue) ([]*histogram.Histogram, error) {
	hs := make([]*histogram.Histogram, len(vs))
	for i, v := range vs {
		var err error
		if hs[i], err = decode(v); err != nil {
			return nil, fmt.Errorf("histogram of series %d: %w", v.ID, err)
		}
	}
	return hs, nil
}

func (s *Store) check(src *source, sc record.Scrape) error {
	if src != nil && millis(sc.At) <= src.ticks[len(src.ticks)-1] {
		return fmt.Errorf("not after the scrape before it")
	}
	added := map[uint32]string{}
	for _, n := range sc.New {
		if _, twice := added[n.ID]; twice || s.series[n.ID] != nil {
			return fmt.Errorf("series %d introduced twice", n.ID)
		}
		added[n.ID] = n.Type
	}
	known := func(id uint32, hist bool) error {
		typ, ok := added[id]
		if old := s.series[id]; old != nil && old.src == src {
			typ, ok = old.typ, true
		}
		if !ok {
			return fmt.Errorf("unknown series %d", id)
		}
		if hist != (typ == typeHistogram) {
			return fmt.Errorf("series %d is a %s", id, typ)
		}
		return nil
	}
	for _, v := range sc.V {
		if err := known(v.ID, false); err != nil {
			return err
		}
	}
	for _, h := range sc.H {
		if err := known(h.ID, true); err != nil {
			return err
		}
	}
	for _, id := range sc.Gone {
		if old := s.series[id]; old == nil || old.src != src {
			return fmt.Errorf("unknown series %d gone", id)
		}
	}
	return nil
}

func (s *Store) addSource(name, job string) *source {
	src := &source{}
	src.up = &series{src: src, typ: typeGauge,
		lset: labels.FromStrings(model.MetricNameLabel, "up", "instance", name, "job", job)}
	s.sources[name] = src
	s.byName["up"] = append(s.byName["up"], src.up)
	return src
}

func (s *Store) addSeries(src *source, n record.Series) {
	ser := &series{src: src, typ: n.Type, lset: labels.FromMap(n.Labels)}
	s.series[n.ID] = ser
	src.series = append(src.series, ser)
	name := ser.lset.Get(model.MetricNameLabel)
	s.byName[name] = append(s.byName[name], ser)
}

// apply enters the values of a scrape that succeeded, hs those of sc.H.
func (s *Store) apply(src *source, tick int, sc record.Scrape, hs []*histogram.Histogram) {
	for _, id := range sc.Gone {
		s.series[id].end(tick)
		s.series[id].gone = true
	}
	restarted := src.down && s.startChanged(sc)
	for _, v := range sc.V {
		s.series[v.ID].enter(tick, point{v: float64(v.V)}, restarted)
	}
	for i, h := range sc.H {
		s.series[h.ID].enter(tick, point{h: hs[i]}, restarted)
	}
	if src.down { // what did not change while the source was down is back with its old value
		for _, ser := range src.series {
			if ser.standing() && !ser.changedAt(tick) {
				ser.enter(tick, ser.last, restarted)
			}
		}
	}
}

func (s *Store) startChanged(sc record.Scrape) bool {
	for _, v := range sc.V {
		if ser := s.series[v.ID]; ser.lset.Get(model.MetricNameLabel) == startTime && ser.last.v != float64(v.V) {
			return true
		}
	}
	return false
}

// fail enters a scrape without an answer: every series of the source is stale.
func (src *source) fail(tick int) {
	src.up.set(tick, point{v: 0})
	if src.down {
		return
	}
	src.down = true
	for _, ser := range src.series {
		if ser.standing() {
			ser.end(tick)
		}
	}
}

// point is one value: h for a native histogram, else v.
type point struct {
	v float64
	h *histogram.Histogram
}

var stale = value.StaleNaN

func millis(nanos int64) int64 { return nanos / int64(time.Millisecond) }
