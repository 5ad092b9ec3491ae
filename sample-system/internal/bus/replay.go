// Replay of dead letters.
//
// Answers: messages that died of something which has been mended since. A letter
// goes back to the subject it came from with all its headers, the time it was
// first seen, for whom it is and how often it was replayed, and leaves the dead
// letters only when the stream has it. Consumers other than the one that gave it
// up skip it. If it fails again it comes back with its count, and is not
// replayed by itself a second time.
// Numbers: by itself once, 10 s after its death (SHOP_REDRIVE_AFTER), which
// outlasts a restart of whatever it needed, unless its cause is permanent; beyond that by a person
// (`shop dlq replay`), who may do so with any number of letters.
// Costs: a replayed message comes after younger ones of its key, so consumers
// must look at the version of what it says.
// Breaks without it: scenario replay, TestRedrive, TestReplayAll. Off switch: D15, headers,
// cause and count are lost, so that a message goes round and round.

package bus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/defect"
)

// ErrNoLetter says that there is no dead letter with that sequence number.
var ErrNoLetter = errors.New("no such dead letter")

// Replay sends one dead letter back to where it came from, even if it has been
// replayed before.
func (b *Bus) Replay(ctx context.Context, seq uint64) error {
	stream, err := b.JetStream.Stream(ctx, DeadStream)
	if err != nil {
		return fmt.Errorf("open dead letters: %w", err)
	}
	m, err := stream.GetMsg(ctx, seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return fmt.Errorf("%w: %d", ErrNoLetter, seq)
	case err != nil:
		return fmt.Errorf("read dead letter %d: %w", seq, err)
	}
	return b.replay(ctx, stream, m)
}

// ReplayAll replays, oldest first, all dead letters that are there now, however
// many, and tells of each what became of it. What comes back meanwhile stands
// behind them and is left alone. It ends early only when it cannot go on.
func (b *Bus) ReplayAll(ctx context.Context, tell func(seq uint64, err error)) error {
	stream, err := b.JetStream.Stream(ctx, DeadStream)
	if err != nil {
		return fmt.Errorf("open dead letters: %w", err)
	}
	last := stream.CachedInfo().State.LastSeq
	for seq := uint64(1); ; seq++ {
		m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(DeadPrefix+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read dead letters from %d: %w", seq, err)
		}
		if seq = m.Sequence; seq > last {
			return nil
		}
		err = b.replay(ctx, stream, m)
		if err != nil && !refused(err) && !errors.Is(err, ErrNoLetter) {
			return err
		}
		tell(seq, err)
	}
}

func (b *Bus) replay(ctx context.Context, stream jetstream.Stream, m *jetstream.RawStreamMsg) error {
	if m.Header.Get(headerSubject) == "" {
		return fmt.Errorf("%w: message %d is none", ErrNoLetter, m.Sequence)
	}
	if _, err := b.JetStream.PublishMsg(ctx, b.replayed(m)); err != nil {
		return fmt.Errorf("replay dead letter %d: %w", m.Sequence, err)
	}
	if err := stream.DeleteMsg(ctx, m.Sequence); err != nil && !errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return fmt.Errorf("remove replayed dead letter %d, it may be replayed again: %w", m.Sequence, err)
	}
	return nil
}

// refused reports whether the stream will never take a letter back; those
// behind it must not wait.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.Code == http.StatusBadRequest
}

// replayed is the message that a letter was, one replay on.
func (b *Bus) replayed(dead *jetstream.RawStreamMsg) *nats.Msg {
	m := nats.NewMsg(dead.Header.Get(headerSubject))
	m.Data = dead.Data
	m.Header.Set(headerConsumer, dead.Header.Get(headerConsumer)) // under D15 too, or three consumers would make three of each
	if b.defects.Has(defect.ReplayLoops) {
		return m
	}
	for name, values := range dead.Header {
		if !strings.HasPrefix(name, "Nats-") && !strings.HasPrefix(name, "Dlq-") {
			m.Header[name] = values
		}
	}
	l := readLetter(dead)
	m.Header.Set(headerReplays, strconv.Itoa(l.Replays+1))
	m.Header.Set(headerFirstSeen, l.FirstSeen)
	m.Header.Set(headerOriginalID, dead.Header.Get(headerOriginalID))
	m.Header.Set(jetstream.MsgIDHeader, dead.Header.Get(jetstream.MsgIDHeader)+"-replay") // another one, or it would be dropped as a duplicate
	return m
}

// redrivable reports whether a letter is to be replayed without being asked.
func (b *Bus) redrivable(l Letter) bool {
	return b.defects.Has(defect.ReplayLoops) || !l.Permanent && l.Replays == 0
}

// isFor reports whether a message is for this consumer: all are, except those
// replayed for another.
func isFor(h nats.Header, consumer string) bool {
	only := h.Get(headerConsumer)
	return only == "" || only == consumer
}
