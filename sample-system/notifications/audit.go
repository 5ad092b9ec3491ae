package notifications

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

// maxLetters bounds what the audit reads; more than this is an error, so that
// nobody takes a part for the whole.
const maxLetters = 10_000

// handleAudit shows the dead letters as rows of a book.
func (d *deadLetters) handleAudit(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	rows, err := d.rows(ctx)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, rows)
}

func (d *deadLetters) rows(ctx context.Context) ([]audit.Row, error) {
	stream, err := d.bus.JetStream.Stream(ctx, bus.DeadStream)
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	state := stream.CachedInfo().State
	if state.Msgs > maxLetters {
		return nil, fmt.Errorf("read dead letters: %d are more than %d", state.Msgs, maxLetters)
	}
	rows := make([]audit.Row, 0, state.Msgs)
	for seq := state.FirstSeq; state.Msgs > 0 && seq <= state.LastSeq; seq++ {
		msg, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // deleted by hand
		}
		if err != nil {
			return nil, fmt.Errorf("read dead letter %d: %w", seq, err)
		}
		rows = append(rows, letterRow(msg))
	}
	return rows, nil
}

func letterRow(msg *jetstream.RawStreamMsg) audit.Row {
	attrs := map[string]string{
		"cause":      msg.Header.Get(headerCause),
		"subject":    msg.Header.Get(headerSubject),
		"deliveries": msg.Header.Get(headerDeliveries),
		"stream_seq": msg.Header.Get(headerSeq),
		"first_seen": msg.Header.Get(headerFirstSeen),
	}
	for name := range msg.Header {
		if !strings.HasPrefix(name, "Dlq-") || strings.HasPrefix(name, headerOriginal) {
			attrs["header."+strings.TrimPrefix(name, headerOriginal)] = msg.Header.Get(name)
		}
	}
	return audit.Row{
		Key: letterKey(msg.Header), ID: strconv.FormatUint(msg.Sequence, 10),
		State: "dead", Attrs: attrs, At: msg.Time.UnixNano(),
	}
}
