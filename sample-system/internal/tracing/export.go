package tracing

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Numbers of the export: 100 checkouts/s are about 500 spans/s in the busiest
// service. A batch of at most 512 goes out after a second, so that a span is
// seen soon; 4096 in the queue bridge 8 s of a receiver that is away, at about
// 1 KB each. Beyond that spans are dropped, and counted: a trace is never worth
// a slow checkout.
const (
	batchSize   = 512
	batchDelay  = time.Second
	queueSize   = 4096
	sendTimeout = 2 * time.Second
)

// queue sends ended spans in batches. It is the SDK's batch processor, but one
// that can say how many it had to drop.
type queue struct {
	exporter sdk.SpanExporter
	spans    chan sdk.ReadOnlySpan
	flush    chan chan struct{}
	stop     chan struct{}
	stopOnce sync.Once
	done     chan struct{}
	exported prometheus.Counter
	dropped  *prometheus.CounterVec
}

func newQueue(exporter sdk.SpanExporter) *queue {
	q := &queue{
		exporter: exporter,
		spans:    make(chan sdk.ReadOnlySpan, queueSize),
		flush:    make(chan chan struct{}),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),
		exported: prometheus.NewCounter(prometheus.CounterOpts{Name: "trace_spans_exported_total", Help: "Spans that the receiver took."}),
		dropped:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "trace_spans_dropped_total", Help: "Spans that were not exported, by reason."}, []string{"reason"}),
	}
	go q.run()
	return q
}

// Collectors are the metrics of the export; none if there is none.
func (t *Tracer) Collectors() []prometheus.Collector {
	if !t.exports() {
		return nil
	}
	return []prometheus.Collector{t.queue.exported, t.queue.dropped}
}

// OnStart is part of the SDK's SpanProcessor.
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd takes a span, without ever waiting.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.spans <- s:
	default:
		q.dropped.WithLabelValues("queue_full").Inc()
	}
}

// Shutdown sends what is queued and ends the sender; ctx bounds the wait.
func (q *queue) Shutdown(ctx context.Context) error {
	q.stopOnce.Do(func() { close(q.stop) })
	select {
	case <-q.done:
		return q.exporter.Shutdown(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ForceFlush sends what is queued now.
func (q *queue) ForceFlush(ctx context.Context) error {
	sent := make(chan struct{})
	select {
	case q.flush <- sent:
	case <-q.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-sent:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *queue) run() {
	defer close(q.done)
	tick := time.NewTicker(batchDelay)
	defer tick.Stop()
	batch := make([]sdk.ReadOnlySpan, 0, batchSize)
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) == batchSize {
				batch = q.send(batch)
			}
		case <-tick.C:
			batch = q.send(batch)
		case sent := <-q.flush:
			batch = q.drain(batch)
			close(sent)
		case <-q.stop:
			q.drain(batch)
			return
		}
	}
}

// drain sends the batch and all that is queued.
func (q *queue) drain(batch []sdk.ReadOnlySpan) []sdk.ReadOnlySpan {
	for {
		select {
		case s := <-q.spans:
			if batch = append(batch, s); len(batch) == batchSize {
				batch = q.send(batch)
			}
		default:
			return q.send(batch)
		}
	}
}

// send exports a batch and returns it empty.
func (q *queue) send(batch []sdk.ReadOnlySpan) []sdk.ReadOnlySpan {
	if len(batch) == 0 {
		return batch
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
	defer cancel()
	if err := q.exporter.ExportSpans(ctx, batch); err != nil {
		q.dropped.WithLabelValues("export_failed").Add(float64(len(batch)))
	} else {
		q.exported.Add(float64(len(batch)))
	}
	clear(batch) // the spans are garbage now
	return batch[:0]
}
