package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// headerOperation is the header by which an operation is followed through the system.
const headerOperation = "X-Request-Id"

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
	if err := f.check(); err != nil {
		return nil, err
	}
	return f, nil
}

func (p BusPoisonParams) check() error {
	if strings.ContainsAny(p.Subject, "*> \t\r\n") || slices.Contains(strings.Split(p.Subject, "."), "") {
		return fmt.Errorf("subject %q cannot be published to: write one subject without wildcards, such as orders.confirmed", p.Subject)
	}
	if p.Count < 1 || p.Count > 1000 {
		return fmt.Errorf("count %d is outside 1..1000", p.Count)
	}
	for k := range p.Headers {
		if k == nats.MsgIdHdr || k == headerOperation {
			return fmt.Errorf("header %s is set by squall", k)
		}
	}
	return checkHeaders(p.Headers)
}

// Describe says the parameters in words.
func (f *busPoison) Describe() string {
	return fmt.Sprintf("%d messages that cannot be read to %s", f.Count, f.Subject)
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
		// Where the stream ends is in the ids, since it remembers those of earlier runs.
		after := s.CachedInfo().State.LastSeq
		f.undo = poisonUndo{Stream: name, Prefix: fmt.Sprintf("poison-%s-%08x-%d", x.ID, uint32(x.Seed), after), Count: f.Count, After: after}
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
			m.Header.Set(headerOperation, f.undo.id(i))
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
		delivered, acked, err := consumed(ctx, s, f.Subject)
		if err != nil {
			return err
		}
		for i, seq := range f.published {
			e.Receipt.Items = append(e.Receipt.Items, f.undo.id(i))
			if seq <= delivered {
				e.Receipt.Hits++
			}
		}
		e.Receipt.Note = fmt.Sprintf("%d acknowledged by stream %s as %d to %d, %d seen delivered to a consumer",
			len(f.published), f.undo.Stream, f.published[0], f.published[len(f.published)-1], e.Receipt.Hits)
		e.Active, err = anyPresent(ctx, s, f.published, acked)
		return err
	})
	return e, err
}

// revertPoison deletes the messages that are still in their stream.
func revertPoison(ctx context.Context, x Injection, undo json.RawMessage) error {
	var u poisonUndo
	if err := json.Unmarshal(undo, &u); err != nil {
		return fmt.Errorf("undo data of %s: %w", x.ID, err)
	}
	if _, ok := x.Target.(Bus); !ok {
		return fmt.Errorf("%s is no link to a broker", x.Target.Name())
	}
	return insist(ctx, func() error {
		return withBus(ctx, x.Target, func(ctx context.Context, js jetstream.JetStream) error { return u.remove(ctx, js) })
	})
}

// remove deletes the messages from their stream, if there still is one.
func (u poisonUndo) remove(ctx context.Context, js jetstream.JetStream) error {
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
		Whole:   "it publishes as many messages as count says",
		Once:    true,
		Params:  BusPoisonParams{},

		Transient: true, // done once every message has been dealt with
		Doc: `Malformed messages are published to a JetStream subject, past the proxy, each with an id of its own
(Nats-Msg-Id and X-Request-Id), all at once. It is over when the consumers have dealt with each.
Receipt: messages that a consumer has been given, with their ids. Undo: those still in the stream are deleted;
copies that the system made, in a dead-letter queue for instance, are its own and stay.`,
		New:    newBusPoison,
		Revert: revertPoison,
	})
}
