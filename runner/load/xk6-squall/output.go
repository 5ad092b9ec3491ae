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

// queue bounds what waits for a runner that reads too slowly; more is dropped, counted and said.
const queue = 64

// out is the output. The samples are aggregated as they come; one goroutine
// flushes, another writes, so that a slow reader never holds up the load.
type out struct {
	w     io.WriteCloser
	abort func(error)
	lines chan []line
	done  chan struct{} // closed to end the flusher
	ended sync.WaitGroup
	mu    sync.Mutex
	agg   *aggregate
	lost  uint64
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

// Stop writes what is left and waits.
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
			o.lines <- o.take() // the writer still reads: the last lines may wait
			return
		case <-tick.C:
			o.offer(o.take())
		}
	}
}

func (o *out) take() []line {
	o.mu.Lock()
	defer o.mu.Unlock()
	s, ops := o.agg.take(time.Now())
	lines := []line{{Scrape: &s}}
	for _, op := range ops {
		lines = append(lines, line{Op: &op})
	}
	return lines
}

// offer drops the lines if the queue is full.
func (o *out) offer(lines []line) {
	n := uint64(len(lines))
	if o.lost > 0 {
		lines = append(lines, line{Dropped: o.lost})
	}
	select {
	case o.lines <- lines:
		o.lost = 0
	default:
		o.lost += n
	}
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
