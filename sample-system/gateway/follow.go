package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/bus"
)

// watch follows the bucket until ctx ends.
func (d *deploys) watch(ctx context.Context) error {
	kv, err := d.bus.Bucket(ctx, deploysBucket)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.kv = kv
	d.mu.Unlock()
	backoff.Signal(d.wake)
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: 2 * time.Second}
	for failures := 1; ; failures++ {
		watcher, err := kv.WatchAll(ctx)
		if err == nil { // it ends by itself or with ctx; nobody stops it, as that waits for a bus that may be away
			failures = 1
			d.follow(ctx, kv, watcher)
		}
		if backoff.Wait(ctx, pause.Delay(failures), nil) != nil {
			return nil
		}
	}
}

// follow takes over what a watcher tells, until it or ctx ends. A watcher whose
// node of the bus has died falls silent for some 15 s before it says so; until
// then the entries are read one by one.
func (d *deploys) follow(ctx context.Context, kv jetstream.KeyValue, watcher jetstream.KeyWatcher) {
	refresh := time.NewTicker(refreshEvery)
	defer refresh.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-refresh.C:
			d.refresh(ctx, kv)
		case entry, ok := <-watcher.Updates():
			switch {
			case !ok:
				return
			case entry != nil && entry.Operation() == jetstream.KeyValuePut: // nil: all that was there has been told
				d.take(entry)
			}
		}
	}
}

// refresh reads the entries; what cannot be read stays as it is known.
func (d *deploys) refresh(ctx context.Context, kv jetstream.KeyValue) {
	ctx, cancel := context.WithTimeout(ctx, refreshEvery)
	defer cancel()
	for _, key := range d.keys {
		if entry, err := kv.Get(ctx, key); err == nil {
			d.take(entry)
		}
	}
}

func (d *deploys) take(entry jetstream.KeyValueEntry) {
	s, err := decodeState(entry.Value())
	if err != nil {
		d.log.Error("deployment ignored", "key", entry.Key(), "error", err)
		return
	}
	d.apply(entry.Key(), s, entry.Revision())
}

// connected is a check of the bus, without which the last decisions stay.
func connected(b *bus.Bus) func(context.Context) error {
	return func(context.Context) error {
		if !b.Connected() {
			return errors.New("not connected")
		}
		return nil
	}
}

// decision is a state that was decided, once.
type decision struct {
	revision
	key string
}

// history is what was decided, in order.
func (d *deploys) history(ctx context.Context) ([]decision, error) {
	kv, err := d.store()
	if err != nil {
		return nil, err
	}
	watcher, err := kv.WatchAll(ctx, jetstream.IncludeHistory())
	if err != nil {
		return nil, errors.Join(errNoStore, err)
	}
	defer func() { _ = watcher.Stop() }() // all that was wanted has been read
	past := []decision{}
	for {
		select {
		case <-ctx.Done():
			return nil, errNoStore
		case entry, ok := <-watcher.Updates():
			if !ok {
				return nil, errNoStore
			}
			if entry == nil { // the rest is still to come
				return past, nil
			}
			s, err := decodeState(entry.Value())
			if err == nil {
				past = append(past, decision{revision{s, entry.Revision()}, entry.Key()})
			}
		}
	}
}
