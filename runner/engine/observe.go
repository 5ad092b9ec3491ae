package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"squall/runner/metrics"
	"squall/runner/record"
	"squall/runner/targets"
)

// scrapeEvery is the distance of two looks at a metrics endpoint.
const scrapeEvery = 250 * time.Millisecond

// machineEvery is the distance of two looks at the machine.
const machineEvery = time.Second

// observers are the goroutines that write the record while a run goes on.
// stop ends them and waits.
type observers struct {
	wg     sync.WaitGroup
	cancel context.CancelFunc
}

func (o *observers) stop() {
	if o.cancel != nil {
		o.cancel()
	}
	o.wg.Wait()
}

// observe starts heartbeat, wire log and scraper. They outlive an interrupt of
// ctx, because the way back to health belongs to the record as well.
func (e *engine) observe(ctx context.Context) error {
	ctx, e.obs.cancel = context.WithCancel(context.WithoutCancel(ctx))
	wire, err := e.Env.Wire(ctx)
	if err != nil {
		return fmt.Errorf("wire log: %w", err)
	}
	e.obs.wg.Go(func() { e.copyWire(ctx, wire) })
	e.obs.wg.Go(func() { e.heartbeat(ctx) })
	scraper := metrics.NewScraper(e.scrapeTargets(), scrapeEvery, func(s record.Scrape) error { return e.Record.Put(record.Metrics, s) })
	e.obs.wg.Go(func() { scraper.Run(ctx) })
	e.obs.wg.Go(func() {
		metrics.Machine(ctx, machineEvery, func(s record.Scrape) error { return e.Record.Put(record.Metrics, s) })
	})
	return nil
}

func (e *engine) scrapeTargets() []metrics.Target {
	var ts []metrics.Target
	for _, s := range e.Env.Services() {
		if s.Metrics != "" {
			ts = append(ts, metrics.Target{Name: s.Name, Job: e.System.ServiceOf(s.Name), URL: s.URL + s.Metrics})
		}
	}
	if p := e.System.Spec.Prometheus; p != nil {
		ts = append(ts, metrics.Federation(p.URL, p.Match, e.Getenv(p.TokenEnv)))
	}
	return ts
}

// copyWire passes the proxies' log on, line by line.
func (e *engine) copyWire(ctx context.Context, wire io.ReadCloser) {
	defer wire.Close()
	lines := bufio.NewScanner(wire)
	lines.Buffer(nil, 1<<20)
	lines.Split(wholeLines)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue // keeps the connection alive
		}
		var lost struct {
			Dropped uint64 `json:"dropped"`
		}
		if bytes.HasPrefix(lines.Bytes(), []byte(`{"dropped"`)) && json.Unmarshal(lines.Bytes(), &lost) == nil {
			e.Record.Lost(record.Wire, lost.Dropped)
			continue
		}
		_ = e.Record.Raw(record.Wire, bytes.Clone(lines.Bytes())) // a failed write is kept by the writer as a gap
	}
	if ctx.Err() == nil {
		e.Record.Lost(record.Wire, 1)
		e.note("error", "the proxies' wire log ended early: %v", lines.Err())
	}
}

// wholeLines splits as bufio.ScanLines does, but leaves out a last line without
// an end: a stream that is cut must not leave half an exchange in the record.
func wholeLines(data []byte, _ bool) (advance int, line []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	return 0, nil, nil
}

// heartbeat renews the leases three times per lease.
func (e *engine) heartbeat(ctx context.Context) {
	tick := time.NewTicker(e.Lease / 3)
	defer tick.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err := e.Env.Renew(ctx)
			if err != nil && !failing && ctx.Err() == nil {
				e.note("error", "heartbeat: %v", err)
			}
			failing = err != nil
		}
	}
}

// observeEvents records process events from before the boot until Down.
func (e *engine) observeEvents() {
	events := e.Env.Events()
	e.events.Go(func() {
		for ev := range events {
			if slices.Contains([]string{targets.ProxyProcess, targets.SupervisorProcess, targets.DiskProcess}, ev.Service) && ev.Event == "exited" {
				select {
				case e.died <- ev.Service + " ended: " + ev.Detail:
				default:
				}
			}
			_ = e.Record.Append(record.TypeProcess, record.Process{
				Service: ev.Service, PID: ev.PID, Event: ev.Event, Detail: ev.Detail,
			})
		}
	})
}
