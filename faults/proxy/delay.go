package proxy

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"squall/faults"
)

// delays is a histogram of delivered delays: what callers really waited, which
// under jitter and load is not what was configured. Buckets grow by 1/16.
type delays struct {
	counts [64 * 16]atomic.Uint64
	n      atomic.Uint64
	sum    atomic.Int64
	max    atomic.Int64
}

func (d *delays) add(v time.Duration) {
	v = max(v, 0)
	d.counts[delayBucket(v)].Add(1)
	d.n.Add(1)
	d.sum.Add(int64(v))
	for old := d.max.Load(); int64(v) > old && !d.max.CompareAndSwap(old, int64(v)); {
		old = d.max.Load()
	}
}

// summary is nil when nothing was measured.
func (d *delays) summary() *faults.Delays {
	n := d.n.Load()
	if n == 0 {
		return nil
	}
	s := &faults.Delays{N: n, Sum: time.Duration(d.sum.Load()), Max: time.Duration(d.max.Load())}
	for _, q := range []struct {
		of float64
		to *time.Duration
	}{{0.5, &s.P50}, {0.9, &s.P90}, {0.99, &s.P99}} {
		*q.to = min(d.quantile(q.of, n), s.Max)
	}
	return s
}

// String is empty when nothing was measured.
func (d *delays) String() string {
	s := d.summary()
	if s == nil {
		return ""
	}
	return fmt.Sprintf("delivered delay: median %v, p99 %v, max %v over %d chunks",
		round(s.P50), round(s.P99), round(s.Max), s.N)
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

// quantile is exact to half a bucket, 1/32.
func (d *delays) quantile(q float64, n uint64) time.Duration {
	var seen uint64
	for i := range d.counts {
		if seen += d.counts[i].Load(); float64(seen) >= q*float64(n) {
			return delayOf(i)
		}
	}
	return delayOf(len(d.counts) - 1)
}

// delayBucket keeps the highest set bit and the four bits after it.
func delayBucket(v time.Duration) int {
	u := uint64(max(v, 16))
	shift := bits.Len64(u) - 5
	return shift<<4 | int(u>>shift&15)
}

// delayOf is the middle of a bucket.
func delayOf(i int) time.Duration {
	shift := i >> 4
	return time.Duration((uint64(16|i&15)<<1 + 1) << shift >> 1)
}
