package metrics

import (
	"fmt"

	"github.com/prometheus/prometheus/model/histogram"

	"squall/runner/record"
)

// encode turns a native histogram into its form in the record.
func encode(id uint32, h *histogram.Histogram) record.HistValue {
	return record.HistValue{
		ID: id, Schema: h.Schema, ZeroT: h.ZeroThreshold, Zero: h.ZeroCount, Count: h.Count, Sum: record.Float(h.Sum),
		Pos: buckets(h.PositiveBucketIterator()), Neg: buckets(h.NegativeBucketIterator()),
	}
}

func buckets(it histogram.BucketIterator[uint64]) []record.Bucket {
	var out []record.Bucket
	for it.Next() {
		if b := it.At(); b.Count > 0 {
			out = append(out, record.Bucket{int64(b.Index), int64(b.Count)})
		}
	}
	return out
}

// decode is the reverse of encode. It fails for what no process could have exposed.
func decode(v record.HistValue) (*histogram.Histogram, error) {
	h := &histogram.Histogram{Schema: v.Schema, ZeroThreshold: v.ZeroT, ZeroCount: v.Zero, Count: v.Count, Sum: float64(v.Sum)}
	var err error
	if h.PositiveSpans, h.PositiveBuckets, err = spans(v.Pos); err != nil {
		return nil, err
	}
	if h.NegativeSpans, h.NegativeBuckets, err = spans(v.Neg); err != nil {
		return nil, err
	}
	return h, keepable(h)
}

// spans packs buckets as Prometheus holds them: runs of neighbouring indexes,
// each count as the difference to the one before.
func spans(bs []record.Bucket) ([]histogram.Span, []int64, error) {
	var (
		ss     []histogram.Span
		deltas = make([]int64, 0, len(bs))
		next   int64 // index that would continue the run
		prev   int64 // count before
	)
	for _, b := range bs {
		gap := b[0] - next
		if b[0] != int64(int32(b[0])) || gap != int64(int32(gap)) || (len(ss) > 0 && gap < 0) {
			return nil, nil, fmt.Errorf("bucket %d follows %d", b[0], next-1)
		}
		if len(ss) > 0 && gap == 0 {
			ss[len(ss)-1].Length++
		} else {
			ss = append(ss, histogram.Span{Offset: int32(gap), Length: 1})
		}
		deltas = append(deltas, b[1]-prev)
		next, prev = b[0]+1, b[1]
	}
	return ss, deltas, nil
}
