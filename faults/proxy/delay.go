package proxy

import (
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// delays is a histogram of delivered delays: what callers really waited, which
// under jitter and load is not what was configured. Buckets grow by 1/16.
type delays struct {
	mu     sync.Mutex
	counts [64 * 16]uint64
	n      uint64
	max    time.Duration
}

func (d *delays) add(v time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts[delayBucket(v)]++
	d.n++
	d.max = max(d.max, v)
}

// String is empty when nothing was measured.
func (d *delays) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == 0 {
		return ""
	}
	return fmt.Sprintf("delivered delay: median %v, max %v over %d chunks",
		d.median().Round(100*time.Microsecond), d.max.Round(100*time.Microsecond), d.n)
}

func (d *delays) median() time.Duration {
	var seen uint64
	for i, c := range d.counts {
		if seen += c; 2*seen >= d.n {
			return min(delayOf(i), d.max)
		}
	}
	return d.max
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
