package metrics

import (
	"context"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// Querier returns the store as a querier. The bounds are not needed: iterators
// seek, and the engine stops reading at its own end.
func (s *Store) Querier(_, _ int64) (storage.Querier, error) { return querier{s}, nil }

type querier struct{ store *Store }

// Select returns the matching series as they are now.
func (q querier) Select(_ context.Context, sorted bool, _ *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	views := q.store.find(ms)
	if sorted {
		slices.SortFunc(views, func(a, b view) int { return labels.Compare(a.lset, b.lset) })
	}
	return &seriesSet{views: views, i: -1}
}

// LabelValues returns the values of a label over the matching series, sorted.
func (q querier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	for _, w := range q.store.find(ms) {
		if v := w.lset.Get(name); v != "" {
			seen[v] = true
		}
	}
	return sortedKeys(seen), nil, nil
}

// LabelNames returns the label names of the matching series, sorted.
func (q querier) LabelNames(_ context.Context, _ *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	seen := map[string]bool{}
	for _, w := range q.store.find(ms) {
		w.lset.Range(func(l labels.Label) { seen[l.Name] = true })
	}
	return sortedKeys(seen), nil, nil
}

// Close releases nothing.
func (querier) Close() error { return nil }

func (s *Store) find(ms []*labels.Matcher) []view {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var found []view
	for _, list := range s.candidates(ms) {
		for _, ser := range list {
			if len(ser.at) > 0 && matches(ser.lset, ms) {
				found = append(found, ser.view())
			}
		}
	}
	return found
}

// candidates narrows the series by name where the name is given exactly.
func (s *Store) candidates(ms []*labels.Matcher) map[string][]*series {
	for _, m := range ms {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return map[string][]*series{m.Value: s.byName[m.Value]}
		}
	}
	return s.byName
}

func matches(l labels.Labels, ms []*labels.Matcher) bool {
	for _, m := range ms {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}

func sortedKeys(set map[string]bool) []string {
	keys := make([]string, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type seriesSet struct {
	views []view
	i     int
}

func (s *seriesSet) Next() bool                        { s.i++; return s.i < len(s.views) }
func (s *seriesSet) At() storage.Series                { return s.views[s.i] }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

var (
	_ storage.Queryable = (*Store)(nil)
	_ chunkenc.Iterator = (*iterator)(nil)
)
