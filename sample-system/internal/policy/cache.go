// Cache with single-flight and stale-if-error.
//
// Answers: a hot key that is missing under load: one caller loads it and the
// others wait for the same answer, instead of all going to a source that was
// built for misses of one in a hundred. And a source that is down: what was
// known is served on, marked as stale, while one load a second asks whether it
// is back.
// Numbers: the caller's: fresh is how old a value may be without anybody
// noticing, stale how old it may be if there is nothing better. At most 10,000
// keys.
// Costs: answers as old as fresh allows, and memory.
// Breaks without it: TestCacheStampede, TestCacheSourceDown. Off
// switch: D27, no single-flight.

package policy

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/tracing"
)

const (
	maxEntries = 10_000
	askAgain   = time.Second     // after a load that failed, while there is a stale value
	loadTime   = 5 * time.Second // for a load, whatever its callers' patience
)

// Cache keeps values by key.
type Cache[V any] struct {
	name         string
	fresh, stale time.Duration
	stampede     bool // D27
	requests     *prometheus.CounterVec
	loads        prometheus.Counter

	ctx   context.Context // of loads; ends with the host
	loops sync.WaitGroup

	mu      sync.Mutex
	entries map[string]entry[V]
	flights map[string]*flight[V]
}

type entry[V any] struct {
	value  V
	at     time.Time
	failed time.Time // the last load, if it failed
}

// flight is a load in progress.
type flight[V any] struct {
	done  chan struct{}
	value V
	err   error
}

// NewCache makes a cache whose values are fresh for some time, and for the time
// stale are better than none.
func NewCache[V any](h *service.Host, name string, fresh, stale time.Duration) *Cache[V] {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Cache[V]{
		name: name, fresh: fresh, stale: stale,
		stampede: h.Defects.Has(defect.CacheStampede),
		requests: h.Counter("cache_requests_total", "Lookups, by result: hit, miss, stale, error.", "cache", "result").
			MustCurryWith(prometheus.Labels{"cache": name}),
		loads: h.Counter("cache_loads_total", "Loads from the source.", "cache").WithLabelValues(name),
		ctx:   ctx, entries: map[string]entry[V]{}, flights: map[string]*flight[V]{},
	}
	h.OnClose(func() error { cancel(); c.loops.Wait(); return nil })
	return c
}

// Get is the value of a key, from load if there is none that is fresh, and its
// age. A stale one is given if the source failed.
func (c *Cache[V]) Get(ctx context.Context, key string, load func(context.Context) (V, error)) (v V, age time.Duration, isStale bool, err error) {
	now := time.Now()
	known, ok := c.lookup(key)
	age = now.Sub(known.at)
	switch usable := ok && age <= c.stale; {
	case ok && age <= c.fresh:
		return c.answer(ctx, known.value, age, "hit")
	case usable && now.Sub(known.failed) < askAgain:
		return c.answer(ctx, known.value, age, "stale")
	default:
		v, err = c.load(ctx, key, load)
		switch {
		case err == nil:
			return c.answer(ctx, v, 0, "miss")
		case usable && !final(err):
			return c.answer(ctx, known.value, age, "stale")
		}
		c.requests.WithLabelValues("error").Inc()
		return v, 0, false, err
	}
}

func (c *Cache[V]) answer(ctx context.Context, v V, age time.Duration, result string) (V, time.Duration, bool, error) {
	c.requests.WithLabelValues(result).Inc()
	if result == "stale" {
		tracing.Event(ctx, "stale", "cache", c.name, "age", age.String())
	}
	return v, age, result == "stale", nil
}

// Flush forgets everything, loads in progress too.
func (c *Cache[V]) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	clear(c.flights)
}

func (c *Cache[V]) lookup(key string) (entry[V], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	return e, ok
}

// load waits for the flight of a key, and starts it if there is none.
func (c *Cache[V]) load(ctx context.Context, key string, load func(context.Context) (V, error)) (V, error) {
	f := c.join(ctx, key, load)
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return *new(V), ctx.Err()
	}
}

func (c *Cache[V]) join(ctx context.Context, key string, load func(context.Context) (V, error)) *flight[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.flights[key]; ok && !c.stampede {
		return f
	}
	f := &flight[V]{done: make(chan struct{})}
	c.flights[key] = f
	c.loops.Go(func() { c.fly(ctx, key, f, load) })
	return f
}

// fly loads. It does not end with the caller that was first: others wait too.
func (c *Cache[V]) fly(ctx context.Context, key string, f *flight[V], load func(context.Context) (V, error)) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	c.loads.Inc()
	f.value, f.err = safely(ctx, load)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.flights[key] == f { // else what it brought is from before a flush
		delete(c.flights, key)
		c.keep(key, f)
	}
}

// keep takes over what a flight brought.
func (c *Cache[V]) keep(key string, f *flight[V]) {
	e, known := c.entries[key]
	switch {
	case f.err == nil:
		if !known && len(c.entries) >= maxEntries {
			c.evict()
		}
		c.entries[key] = entry[V]{value: f.value, at: time.Now()}
	case final(f.err):
		delete(c.entries, key)
	case known:
		e.failed = time.Now()
		c.entries[key] = e
	}
}

// evict drops what is past use, or else anything.
func (c *Cache[V]) evict() {
	for k, e := range c.entries {
		if time.Since(e.at) > c.stale {
			delete(c.entries, k)
		}
	}
	for k := range c.entries {
		if len(c.entries) < maxEntries {
			return
		}
		delete(c.entries, k)
	}
}

// final reports whether the source answered, and said no: what it said before
// is not true any more.
func final(err error) bool {
	var status *call.StatusError
	var problem service.Problem
	return errors.As(err, &status) && !call.Unavailable(err) ||
		errors.As(err, &problem) && problem.Status < http.StatusInternalServerError
}
