package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/backoff"
)

// Streams and subjects of the shop.
const (
	OrdersStream   = "ORDERS"
	OrdersSubjects = "orders.>"
	DeadStream     = "DLQ"
	DeadPrefix     = "dlq." // then the consumer that gave up, then the original subject

	advisories = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + OrdersStream + "."
)

// maxEvent bounds a message of the orders, in bytes with its headers: an event
// is far smaller, and as a dead letter, with more headers, it must still be
// below what a node takes (256 KB, nats/node.go).
const maxEvent = 128 << 10

// duplicateWindow is how long a repeated Nats-Msg-Id is recognised: longer
// than any relay of ours stays away and then repeats what it is unsure of.
const duplicateWindow = 2 * time.Minute

// Ensure creates the shop's streams, and tries until it succeeds or ctx ends.
// Everyone who needs the streams calls it: who comes first does not matter.
func (b *Bus) Ensure(ctx context.Context) error {
	return b.insist(ctx, "streams", func(ctx context.Context) error {
		return errors.Join(
			b.createStream(ctx, jetstream.StreamConfig{Name: OrdersStream, Subjects: []string{OrdersSubjects}, MaxBytes: 256 << 20, MaxMsgSize: maxEvent, Replicas: b.replicas()}),
			b.createStream(ctx, jetstream.StreamConfig{Name: DeadStream, Subjects: []string{DeadPrefix + ">", advisories + "*"}, MaxBytes: 64 << 20, Replicas: b.replicas()}),
		)
	})
}

// Bucket opens a key-value bucket, creates it if need be, and tries until it
// is there or ctx ends. Without Replicas it gets as many as the cluster can give.
func (b *Bus) Bucket(ctx context.Context, cfg jetstream.KeyValueConfig) (kv jetstream.KeyValue, err error) {
	err = b.insist(ctx, "bucket "+cfg.Bucket, func(ctx context.Context) error {
		want := cfg
		if want.Replicas == 0 {
			want.Replicas = b.replicas()
		}
		kv, err = b.JetStream.CreateKeyValue(ctx, want)
		if errors.Is(err, jetstream.ErrBucketExists) {
			kv, err = b.JetStream.UpdateKeyValue(ctx, want)
		}
		return err
	})
	return kv, err
}

// createStream creates a stream or changes it, but never to fewer replicas: who
// has just lost the connection does not see the cluster.
func (b *Bus) createStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	cfg.Storage, cfg.Duplicates, cfg.AllowDirect = jetstream.FileStorage, duplicateWindow, true
	_, err := b.JetStream.CreateStream(ctx, cfg) // no effect when it is there
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		var s jetstream.Stream
		if s, err = b.JetStream.Stream(ctx, cfg.Name); err == nil {
			cfg.Replicas = max(cfg.Replicas, s.CachedInfo().Config.Replicas)
			_, err = b.JetStream.UpdateStream(ctx, cfg)
		}
	}
	if err != nil {
		return fmt.Errorf("create stream %s: %w", cfg.Name, err)
	}
	return nil
}

// durable creates a consumer of the orders, and tries until it is there.
func (b *Bus) durable(ctx context.Context, cfg jetstream.ConsumerConfig) (c jetstream.Consumer, err error) {
	err = b.insist(ctx, "consumer "+cfg.Durable, func(ctx context.Context) error {
		c, err = b.JetStream.CreateOrUpdateConsumer(ctx, OrdersStream, cfg)
		return err
	})
	return c, err
}

// replicas is three in a cluster, so that one node may die and both reading
// and writing go on.
func (b *Bus) replicas() int {
	if b.conn.ConnectedClusterName() == "" {
		return 1
	}
	return 3
}

// insist repeats f until it succeeds or ctx ends. The first attempts are short
// and come quickly: a cluster that has just elected its leader loses requests
// without an answer, and asking again soon costs nothing.
func (b *Bus) insist(ctx context.Context, what string, f func(ctx context.Context) error) error {
	pause := backoff.Backoff{Base: 100 * time.Millisecond, Max: time.Second}
	for failures := 1; ; failures++ {
		err := b.attempt(ctx, min(time.Duration(failures)*firstAttempt, 3*time.Second), f)
		if err == nil {
			return nil
		}
		if failures%10 == 0 {
			b.log("bus not ready yet", "for", what, "error", err)
		}
		if err := backoff.Wait(ctx, pause.Delay(failures), nil); err != nil {
			return err
		}
	}
}

const firstAttempt = 300 * time.Millisecond

func (b *Bus) attempt(ctx context.Context, timeout time.Duration, f func(ctx context.Context) error) error {
	if !b.Connected() {
		return nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx)
}
