package gateway

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestWindow(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	w := newWindow()
	w.now = func() time.Time { return now }
	for i := range 200 {
		o := outcome{took: 10 * time.Millisecond, failed: i < 10}
		if i < 4 {
			o.took = 500 * time.Millisecond
		}
		w.add(o)
	}
	sum := w.sum()
	assert.Equal(t, 200, sum.total)
	assert.InDelta(t, 0.05, sum.failures(), 1e-9)
	assert.InDelta(t, 500, sum.quantile(0.99).Milliseconds(), 125, "4 of 200 are slow, 2 may be")
	assert.InDelta(t, 10, sum.quantile(0.5).Milliseconds(), 3)
	assert.Equal(t, 4, sum.slower(100*time.Millisecond))

	now = now.Add((windowSpan - 1) * time.Second)
	w.add(outcome{})
	assert.Equal(t, 201, w.sum().total, "still in sight")
	now = now.Add(time.Second)
	assert.Equal(t, 1, w.sum().total, "forgotten")
	now = now.Add(time.Hour)
	assert.Zero(t, w.sum().failures())
	assert.Zero(t, w.sum().quantile(0.99))
	w.add(outcome{took: time.Hour})
	assert.Equal(t, 1, w.sum().slower(10*time.Second), "the last class takes all")
	w.clear()
	assert.Zero(t, w.sum().total)
}

func TestClass(t *testing.T) {
	for ms, want := range map[int]int{0: 0, 1: 0, 2: 4, 10: 11, 100: 21, 1000: 31, 1 << 40: classCount - 1} {
		assert.Equal(t, want, class(time.Duration(ms)*time.Millisecond), ms)
	}
}
