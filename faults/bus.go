package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// busTimeout bounds every conversation with the broker.
const busTimeout = 5 * time.Second

// withBus runs do on a connection to the broker itself, past its proxy.
func withBus(ctx context.Context, t Target, do func(context.Context, jetstream.JetStream) error) error {
	bus, ok := t.(Bus)
	if !ok {
		return fmt.Errorf("%s is no link to a broker", t.Name())
	}
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	conn, err := nats.Connect(bus.URL(), nats.Timeout(busTimeout), nats.NoReconnect(), nats.Name("squall"))
	if err != nil {
		return fmt.Errorf("connect to broker %s: %w", bus.URL(), err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	return do(ctx, js)
}

// insist repeats an undo until it succeeds or ctx ends: the broker may be down by
// another fault, which is undone at the same time.
func insist(ctx context.Context, undo func() error) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		err := undo()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}

// consumed is how far the furthest consumer of the subject has been given
// messages, and how far all of them have acknowledged every one. Without a
// consumer nothing is consumed.
func consumed(ctx context.Context, s jetstream.Stream, subject string) (delivered, acked uint64, err error) {
	list := s.ListConsumers(ctx)
	first := true
	for c := range list.Info() {
		if !wants(c.Config, subject) {
			continue
		}
		delivered = max(delivered, c.Delivered.Stream)
		if first || c.AckFloor.Stream < acked {
			acked = c.AckFloor.Stream
		}
		first = false
	}
	return delivered, acked, list.Err()
}

// wants reports whether a consumer is given messages of that subject.
func wants(c jetstream.ConsumerConfig, subject string) bool {
	filters := c.FilterSubjects
	if c.FilterSubject != "" {
		filters = append(filters, c.FilterSubject)
	}
	covers := func(filter string) bool { return SubjectCovers(filter, subject) }
	return len(filters) == 0 || slices.ContainsFunc(filters, covers)
}

// SubjectCovers matches a NATS subject: * is one token, a last > any rest.
func SubjectCovers[S string | []byte](filter string, subject S) bool {
	at := 0
	for filter != "" {
		var token string
		token, filter, _ = strings.Cut(filter, ".")
		if at > len(subject) || len(subject) == 0 {
			return false
		}
		if token == ">" {
			return true
		}
		end := at
		for end < len(subject) && subject[end] != '.' {
			end++
		}
		if token != "*" && token != string(subject[at:end]) {
			return false
		}
		at = end + 1
	}
	return at > len(subject)
}

// anyPresent reports whether a message that is not done with is in the stream.
func anyPresent(ctx context.Context, s jetstream.Stream, seqs []uint64, acked uint64) (bool, error) {
	for _, seq := range seqs {
		if seq <= acked {
			continue
		}
		_, err := s.GetMsg(ctx, seq)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return false, fmt.Errorf("message %d: %w", seq, err)
		}
	}
	return false, nil
}
