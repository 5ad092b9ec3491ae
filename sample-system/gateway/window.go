package gateway

import (
	"math"
	"sync"
	"time"
)

// windowSpan is how far back a window looks. Long enough for a canary that gets
// one request a second to be judged at all, short enough to forget a fault that
// was mended.
const windowSpan = 30 // seconds

// outcome is what one call showed.
type outcome struct {
	failed bool
	took   time.Duration
}

// window counts outcomes of the last windowSpan seconds, in steps of one.
type window struct {
	now func() time.Time

	mu      sync.Mutex
	seconds [windowSpan]second
}

type second struct {
	unix   int64 // the second that is counted here
	counts counts
}

// counts are outcomes; times are in classes a quarter apart, from 1 ms.
type counts struct {
	total, failed int
	classes       [classCount]int
}

const (
	classCount  = 48 // 1.25^48 ms: 45 s
	classGrowth = 1.25
)

func newWindow() *window { return &window{now: time.Now} }

func (w *window) add(o outcome) {
	now := w.now().Unix()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &w.seconds[now%windowSpan]
	if s.unix != now {
		*s = second{unix: now}
	}
	s.counts.total++
	if o.failed {
		s.counts.failed++
	}
	s.counts.classes[class(o.took)]++
}

// sum is what was counted in the last windowSpan seconds.
func (w *window) sum() (sum counts) {
	oldest := w.now().Unix() - windowSpan
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.seconds {
		if s.unix <= oldest {
			continue
		}
		sum.total += s.counts.total
		sum.failed += s.counts.failed
		for i, n := range s.counts.classes {
			sum.classes[i] += n
		}
	}
	return sum
}

// clear forgets everything.
func (w *window) clear() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seconds = [windowSpan]second{}
}

// failures is the share of failed calls, 0 to 1.
func (c counts) failures() float64 {
	if c.total == 0 {
		return 0
	}
	return float64(c.failed) / float64(c.total)
}

// quantile is a time that the share q of the calls did not exceed, at most a
// quarter too long; 0 without calls.
func (c counts) quantile(q float64) time.Duration {
	left := int((1 - q) * float64(c.total)) // may be slower
	for i := classCount - 1; i >= 0; i-- {
		if left -= c.classes[i]; left < 0 {
			return time.Duration(math.Pow(classGrowth, float64(i)) * float64(time.Millisecond))
		}
	}
	return 0
}

// slower is how many calls took longer than d, up to a quarter.
func (c counts) slower(d time.Duration) (n int) {
	for _, in := range c.classes[class(d)+1:] {
		n += in
	}
	return n
}

// class is the first whose bound is not below d.
func class(d time.Duration) int {
	ms := float64(d) / float64(time.Millisecond)
	if ms <= 1 {
		return 0
	}
	return min(int(math.Ceil(math.Log(ms)/math.Log(classGrowth))), classCount-1)
}
