package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// BusPoisonParams are the parameters of bus-poison.
type BusPoisonParams struct {
	Subject string            `yaml:"subject" spec:"required" doc:"Subject to publish to; a JetStream stream must cover it."`
	Count   int               `yaml:"count" spec:"default=3,min=1" doc:"How many messages, at most 1000."`
	Payload string            `yaml:"payload" spec:"default={poison" doc:"Body of each message; the default is no JSON."`
	Headers map[string]string `yaml:"headers" doc:"More header fields of each message."`
}

// busTimeout bounds every conversation with the broker.
const busTimeout = 5 * time.Second

// poisonUndo is where the messages went; ids are prefix-1, prefix-2, ...
type poisonUndo struct {
	Stream string `json:"stream"`
	Prefix string `json:"prefix"`
	Count  int    `json:"count"`
	After  uint64 `json:"after"` // last sequence of the stream before the injection
}

type busPoison struct {
	BusPoisonParams

	mu        sync.Mutex
	undo      poisonUndo
	published []uint64 // stream sequences, acknowledged by the broker
	first     time.Time
	last      time.Time
}

func newBusPoison(decode func(any) error) (Fault, error) {
	f := &busPoison{}
	if err := decode(&f.BusPoisonParams); err != nil {
		return nil, err
	}
	if f.Count > 1000 {
		return nil, fmt.Errorf("count %d is more than 1000", f.Count)
	}
	return f, nil
}

// Describe says the parameters in words.
func (f *busPoison) Describe() string {
	return fmt.Sprintf("%d messages that cannot be read to %s", f.Count, f.Subject)
}

// withBus runs do on a connection to the broker itself, past its proxy.
func withBus(ctx context.Context, t Target, do func(context.Context, jetstream.JetStream) error) error {
	bus, ok := t.(Bus)
	if !ok {
		return fmt.Errorf("%s is no link to a broker", t.Name())
	}
	ctx, cancel := context.WithTimeout(ctx, busTimeout)
	defer cancel()
	conn, err := nats.Connect(bus.URL(), nats.Timeout(busTimeout), nats.NoReconnect(), nats.Name("squall bus-poison"))
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

// Prepare finds the stream and where it ends now.
func (f *busPoison) Prepare(ctx context.Context, x Injection) (json.RawMessage, error) {
	err := withBus(ctx, x.Target, func(ctx context.Context, js jetstream.JetStream) error {
		name, err := js.StreamNameBySubject(ctx, f.Subject)
		if err != nil {
			return fmt.Errorf("no stream covers %s: %w", f.Subject, err)
		}
		s, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.undo = poisonUndo{Stream: name, Prefix: fmt.Sprintf("poison-%s-%08x", x.ID, uint32(x.Seed)), Count: f.Count, After: s.CachedInfo().State.LastSeq}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return json.Marshal(f.undo)
}

func (u poisonUndo) id(i int) string { return fmt.Sprintf("%s-%d", u.Prefix, i+1) }

// Inject publishes the messages. Their ids make a second try publish none twice.
func (f *busPoison) Inject(ctx context.Context, x Injection) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return withBus(ctx, x.Target, func(ctx context.Context, js jetstream.JetStream) error {
		for i := range f.Count {
			m := nats.NewMsg(f.Subject)
			m.Data = []byte(f.Payload)
			for k, v := range f.Headers {
				m.Header.Set(k, v)
			}
			m.Header.Set("X-Request-Id", f.undo.id(i))
			ack, err := js.PublishMsg(ctx, m, jetstream.WithMsgID(f.undo.id(i)))
			if err != nil {
				return fmt.Errorf("publish to %s: %w", f.Subject, err)
			}
			f.last = time.Now()
			if len(f.published) == 0 {
				f.first = f.last
			}
			f.published = append(f.published, ack.Sequence)
		}
		return nil
	})
}

// Observe counts the messages that some consumer has been given. The fault is
// active while one of them is still in its stream, not yet done with.
func (f *busPoison) Observe(ctx context.Context, x Injection) (Evidence, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.published) == 0 {
		return Evidence{}, nil
	}
	e := Evidence{Receipt: Receipt{Unit: "messages", First: f.first, Last: f.last}}
	err := withBus(ctx, x.Target, func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, f.undo.Stream)
		if err != nil {
			return err
		}
		delivered, acked, err := consumed(ctx, s)
		if err != nil {
			return err
		}
		for i, seq := range f.published {
			e.Receipt.Items = append(e.Receipt.Items, f.undo.id(i))
			if seq <= delivered {
				e.Receipt.Hits++
			}
			if seq > acked && present(ctx, s, seq) {
				e.Active = true
			}
		}
		e.Receipt.Note = fmt.Sprintf("published as %d to %d of stream %s", f.published[0], f.published[len(f.published)-1], f.undo.Stream)
		return nil
	})
	return e, err
}

// consumed is how far the furthest consumer has been given messages, and how
// far all consumers have acknowledged every one.
func consumed(ctx context.Context, s jetstream.Stream) (delivered, acked uint64, err error) {
	list := s.ListConsumers(ctx)
	first := true
	for c := range list.Info() {
		delivered = max(delivered, c.Delivered.Stream)
		if first || c.AckFloor.Stream < acked {
			acked = c.AckFloor.Stream
		}
		first = false
	}
	return delivered, acked, list.Err()
}

func present(ctx context.Context, s jetstream.Stream, seq uint64) bool {
	_, err := s.GetMsg(ctx, seq)
	return err == nil
}

// revertPoison deletes the messages that are still in their stream.
func revertPoison(ctx context.Context, x Injection, undo json.RawMessage) error {
	var u poisonUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return fmt.Errorf("undo data of %s: %w", x.ID, err)
	}
	return withBus(ctx, x.Target, func(ctx context.Context, js jetstream.JetStream) error {
		s, err := js.Stream(ctx, u.Stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ids := map[string]bool{}
		for i := range u.Count {
			ids[u.id(i)] = true
		}
		return deleteByID(ctx, s, u.After, ids)
	})
}

// deleteByID looks through what has come since the injection began. It does not
// trust sequences noted while injecting: the process may have died in between.
func deleteByID(ctx context.Context, s jetstream.Stream, after uint64, ids map[string]bool) error {
	info, err := s.Info(ctx)
	if err != nil {
		return err
	}
	for seq := max(after+1, info.State.FirstSeq); seq <= info.State.LastSeq && len(ids) > 0; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		id := m.Header.Get(nats.MsgIdHdr)
		if !ids[id] {
			continue
		}
		delete(ids, id)
		if err := s.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("delete message %d: %w", seq, err)
		}
	}
	return nil
}

func init() {
	builtin(Kind{
		Name:    "bus-poison",
		Summary: "publishes messages that no consumer can read",
		Needs:   NeedsBus,
		Params:  BusPoisonParams{},
		Doc: `Malformed messages are published to a JetStream subject, past the proxy, each with an id of its own
(Nats-Msg-Id and X-Request-Id).
Receipt: messages that a consumer has been given, with their ids. Undo: those still in the stream are deleted;
copies that the system made, in a dead-letter queue for instance, are its own and stay.`,
		New:    newBusPoison,
		Revert: revertPoison,
	})
}
