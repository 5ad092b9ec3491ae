package bus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/service"
)

// maxLetters bounds what is read; more than this is an error, so that nobody
// takes a part for the whole.
const maxLetters = 10_000

// Letters are the dead letters of one consumer, or of all for "", the oldest
// first.
func (b *Bus) Letters(ctx context.Context, consumer string) ([]Letter, error) {
	subjects := DeadPrefix + ">"
	if consumer != "" {
		subjects = DeadPrefix + consumer + ".>"
	}
	stream, err := b.JetStream.Stream(ctx, DeadStream)
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	letters := []Letter{}
	for seq := uint64(1); ; {
		m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subjects))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return letters, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letters: %w", err)
		}
		if len(letters) == maxLetters {
			return nil, fmt.Errorf("read dead letters: there are more than %d", maxLetters)
		}
		letters = append(letters, readLetter(m))
		seq = m.Sequence + 1
	}
}

// AuditLetters shows the dead letters of a consumer as rows of a book, under
// the operation they belong to.
func (b *Bus) AuditLetters(consumer string) service.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
		defer cancel()
		letters, err := b.Letters(ctx, consumer)
		if err != nil {
			return err
		}
		rows := make([]audit.Row, 0, len(letters))
		for _, l := range letters {
			rows = append(rows, l.row())
		}
		return service.WriteJSON(w, http.StatusOK, rows)
	}
}

func (l Letter) row() audit.Row {
	attrs := map[string]string{
		"cause": l.Cause, "subject": l.Subject, "consumer": l.Consumer, "stream_seq": l.StreamSeq, "first_seen": l.FirstSeen,
		"deliveries": strconv.Itoa(l.Deliveries), "replays": strconv.Itoa(l.Replays), "permanent": strconv.FormatBool(l.Permanent),
	}
	for name, value := range l.Headers {
		attrs["header."+name] = value
	}
	return audit.Row{Key: l.Key, ID: strconv.FormatUint(l.Seq, 10), State: "dead", Attrs: attrs, At: l.At.UnixNano()}
}
