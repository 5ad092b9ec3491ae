package squall

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.k6.io/k6/metrics"
	"go.k6.io/k6/output"
)

// flushEvery is the runner's scrape interval: client and services share one grid.
const flushEvery = 250 * time.Millisecond

// queue bounds what waits for a runner that reads too slowly.
const queue = 64

// out is the output. The samples are aggregated as they come; one goroutine
// flushes, another writes, so that a slow reader never holds up the load. While
// the queue is full flushes are left out, counted and said; sums go on.
type out struct {
	w     io.WriteCloser
	abort func(error)
	lines chan []line
	done  chan struct{} // closed to end the flusher
	ended sync.WaitGroup
	mu    sync.Mutex
	agg   *aggregate
}

// newOutput takes "fd:N": a pipe that the runner handed down.
func newOutput(p output.Params) (output.Output, error) {
	text, ok := strings.CutPrefix(p.ConfigArgument, "fd:")
	fd, err := strconv.Atoi(text)
	if !ok || err != nil || fd < 3 {
		return nil, fmt.Errorf("output squall: argument %q: want fd:N, a pipe to the runner", p.ConfigArgument)
	}
	return newOut(os.NewFile(uintptr(fd), "runner")), nil
}

func newOut(w io.WriteCloser) *out {
	return &out{w: w, agg: newAggregate(), lines: make(chan []line, queue), done: make(chan struct{}), abort: func(error) {}}
}

// Description is shown by k6.
func (o *out) Description() string { return "squall" }

// SetTestRunStopCallback gives the way to end the load when the runner is gone.
func (o *out) SetTestRunStopCallback(f func(error)) { o.abort = f }

// Start starts flusher and writer.
func (o *out) Start() error {
	o.ended.Go(o.flusher)
	o.ended.Go(o.writer)
	return nil
}

// AddMetricSamples aggregates; it never blocks on the runner.
func (o *out) AddMetricSamples(containers []metrics.SampleContainer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range containers {
		for _, s := range c.GetSamples() {
			o.agg.add(s)
		}
	}
}

// Stop writes what is left and waits. k6 has passed on every sample by then.
func (o *out) Stop() error {
	close(o.done)
	o.ended.Wait()
	return o.w.Close()
}

func (o *out) flusher() {
	defer close(o.lines)
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-o.done:
			o.lines <- o.last() // the writer still reads: the last lines may wait
			return
		case <-tick.C:
			o.flush()
		}
	}
}

// flush is called by the only sender: a queue that has room keeps it.
func (o *out) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lines) == cap(o.lines) {
		o.agg.lost++
		return
	}
	o.lines <- o.agg.take(time.Now())
}

func (o *out) last() []line {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	o.agg.closeOpen(now)
	return o.agg.take(now)
}

func (o *out) writer() {
	w := bufio.NewWriter(o.w)
	enc := json.NewEncoder(w)
	var failed error
	for lines := range o.lines {
		if failed != nil {
			continue // drain: nobody reads any more
		}
		for _, l := range lines {
			if failed = enc.Encode(l); failed != nil {
				break
			}
		}
		if failed == nil {
			failed = w.Flush()
		}
		if failed != nil {
			o.abort(fmt.Errorf("output squall: the runner is gone: %w", failed))
		}
	}
}
