// Batching consumer.
//
// Answers: a commit per message, which is what a projection spends most of its
// time on. Messages are collected and worked on together, in one transaction,
// and acknowledged together after it; a batch that fails is repeated message by
// message, so that one bad message costs only itself.
// Numbers: the service's; history takes 64 messages or 50 ms.
// Costs: the wait for a batch that does not fill.
// Breaks without it: TestBatch. Off switch: D16 in
// ack.go: a part-filled batch is then lost with its process.

package bus

import (
	"context"
	"errors"
	"time"

	"squall/sample-system/internal/service"
)

// BatchOptions bound a batch: it is handled when it has Size messages, or Wait
// after its first.
type BatchOptions struct {
	Size int
	Wait time.Duration
}

type batcher struct {
	c      *Consumer
	o      BatchOptions
	handle BatchHandler
}

// ConsumeBatches handles messages in batches until the service ends.
func (b *Bus) ConsumeBatches(h *service.Host, o ConsumerOptions, batch BatchOptions, handle BatchHandler) *Consumer {
	c := b.newConsumer(h, o, func(ctx context.Context, m Message) error { return handle(ctx, []Message{m}) })
	c.spread = (&batcher{c, batch, handle}).run
	return c
}

func (b *batcher) run(ctx context.Context, in <-chan *delivery) {
	for open := true; open; {
		var batch []*delivery
		batch, open = b.collect(in)
		b.flush(ctx, batch)
	}
}

// collect returns the next batch, and whether there may be another.
func (b *batcher) collect(in <-chan *delivery) (batch []*delivery, open bool) {
	d, open := <-in
	if !open {
		return nil, false
	}
	batch = append(batch, d)
	full := time.NewTimer(b.o.Wait)
	defer full.Stop()
	for len(batch) < b.o.Size {
		select {
		case d, open := <-in:
			if !open {
				return batch, false
			}
			batch = append(batch, d)
		case <-full.C:
			return batch, true
		}
	}
	return batch, true
}

func (b *batcher) flush(ctx context.Context, batch []*delivery) {
	if len(batch) == 0 {
		return
	}
	if len(batch) == 1 || b.together(ctx, batch) != nil {
		for _, d := range batch {
			b.c.alone(ctx, d)
		}
		return
	}
	for _, d := range batch {
		b.c.acks.done(d)
		b.c.hand.drop(d)
		b.c.count("done")
	}
}

// errMixed sends a batch the slow way.
var errMixed = errors.New("some messages of the batch need no work")

func (b *batcher) together(ctx context.Context, batch []*delivery) error {
	messages := make([]Message, 0, len(batch))
	for _, d := range batch {
		if !b.c.plain(d) {
			return errMixed
		}
		messages = append(messages, d.Message)
	}
	ctx, cancel := context.WithTimeout(ctx, handleTime)
	defer cancel()
	ctx, end := b.c.h.Tracer.Start(ctx, "batch", "messages", len(messages))
	err := b.handle(ctx, messages)
	end(err)
	return err
}
