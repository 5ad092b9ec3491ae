package metrics

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// Evidence is how much data an expression stands on. Of several selectors the
// one that saw most counts: a ratio has as many trials as its denominator.
type Evidence struct {
	Samples      int      // raw samples that a selector picks
	Observations float64  // events that counters and native histograms counted over their ranges
	Histograms   bool     // whether any selector picked a native histogram
	Absent       []string // selectors that pick nothing
}

// Evidence looks at the raw samples behind an expanded expression.
func (e *Engine) Evidence(ctx context.Context, q storage.Queryable, expr string, at time.Time) (Evidence, error) {
	tree, err := promParser.ParseExpr(expr)
	if err != nil {
		return Evidence{}, fmt.Errorf("PromQL: %w", err)
	}
	var ev Evidence
	parser.Inspect(tree, func(n parser.Node, path []parser.Node) error {
		vs, ok := n.(*parser.VectorSelector)
		if !ok || err != nil {
			return nil
		}
		err = ev.add(ctx, q, vs, spanOf(vs, path, at.UnixMilli()))
		return nil
	})
	return ev, err
}

// span is what a selector looks at, in Unix milliseconds; from is not part of it.
type span struct {
	from, to int64
	ranged   bool // a range, not an instant
	counters bool // taken by a function of counters
}

// spanOf follows the path of a selector from the whole expression down.
func spanOf(vs *parser.VectorSelector, path []parser.Node, at int64) span {
	s := span{from: at, to: at}
	back := func(length, offset time.Duration, fixed *int64) {
		if fixed != nil { // the @ modifier
			s.from, s.to = *fixed, *fixed
		}
		s.from -= (length + offset).Milliseconds()
		s.to -= offset.Milliseconds()
	}
	length := lookback
	for _, n := range path {
		switch n := n.(type) {
		case *parser.Call:
			s.counters = slices.Contains([]string{"rate", "irate", "increase"}, n.Func.Name)
		case *parser.SubqueryExpr:
			back(n.Range, n.OriginalOffset, n.Timestamp)
		case *parser.MatrixSelector:
			s.ranged, length = true, n.Range
		}
	}
	back(length, vs.OriginalOffset, vs.Timestamp)
	s.counters = s.counters && s.ranged
	return s
}

func (ev *Evidence) add(ctx context.Context, q storage.Queryable, vs *parser.VectorSelector, s span) error {
	querier, err := q.Querier(s.from-lookback.Milliseconds(), s.to)
	if err != nil {
		return fmt.Errorf("PromQL: %w", err)
	}
	defer querier.Close()
	set := querier.Select(ctx, false, nil, vs.LabelMatchers...)
	samples := 0
	events := map[string]float64{}
	for set.Next() {
		t := s.tally(set.At().Iterator(nil))
		samples += t.samples
		ev.Histograms = ev.Histograms || t.hist
		if t.hist || s.counters {
			key := withoutBound(set.At().Labels())
			events[key] = max(events[key], t.events)
		}
	}
	if set.Err() != nil {
		return fmt.Errorf("PromQL: %w", set.Err())
	}
	sum := 0.0
	for _, n := range events {
		sum += n
	}
	ev.Samples, ev.Observations = max(ev.Samples, samples), max(ev.Observations, sum)
	if samples == 0 {
		ev.Absent = append(ev.Absent, selectorText(vs))
	}
	return nil
}

// withoutBound identifies a classic histogram: each of its buckets counts the
// events of the smaller ones again.
func withoutBound(l labels.Labels) string {
	return labels.NewBuilder(l).Del(model.BucketLabel).Labels().String()
}

func selectorText(vs *parser.VectorSelector) string {
	plain := parser.VectorSelector{Name: vs.Name, LabelMatchers: vs.LabelMatchers}
	return plain.String()
}

// tally is what one series says over a span.
type tally struct {
	samples int
	events  float64
	hist    bool
}

// tally counts the samples of a series, and the events from the last sample
// before the span on. A histogram at an instant stands on all it ever counted.
func (s span) tally(it chunkenc.Iterator) (t tally) {
	var before float64
	var known bool // there is a sample to count from
	for typ := it.Seek(s.from - lookback.Milliseconds()); typ != chunkenc.ValNone && it.AtT() <= s.to; typ = it.Next() {
		v, hist := total(it, typ)
		if math.IsNaN(v) {
			continue // stale: where the series goes on it is compared with the value before
		}
		if it.AtT() > s.from {
			t.samples++
			t.hist = t.hist || hist
			switch {
			case !s.ranged:
				t.events = v
			case known && v >= before:
				t.events += v - before
			case known: // restarted from 0
				t.events += v
			}
		}
		before, known = v, true
	}
	return t
}

// total is the running count of a counter or a histogram, NaN if it is stale.
func total(it chunkenc.Iterator, typ chunkenc.ValueType) (v float64, hist bool) {
	if typ == chunkenc.ValFloat {
		_, v := it.At()
		return v, false
	}
	_, h := it.AtFloatHistogram(nil)
	if math.IsNaN(h.Sum) {
		return h.Sum, true
	}
	return h.Count, true
}
