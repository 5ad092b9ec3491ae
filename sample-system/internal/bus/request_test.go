package bus

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/service"
)

type question struct {
	SKU string `json:"sku"`
}

type quote struct {
	Days int `json:"days"`
}

func TestRequest(t *testing.T) {
	url := bustest.Start(t)
	b := client(t, url)
	ask := func(ctx context.Context, sku string) (quote, error) {
		var q quote
		return q, b.Request(ctx, "shipping.quote", question{sku}, &q)
	}
	_, err := ask(t.Context(), "tea")
	require.ErrorIs(t, err, ErrNoResponders, "at once, and nothing was done")

	var seen journal
	serve := func(h *service.Host, b *Bus) {
		b.Serve(h, "shipping.quote", func(ctx context.Context, in []byte) (any, error) {
			seen.add(service.OperationFrom(ctx).ID)
			var q question
			if err := json.Unmarshal(in, &q); err != nil {
				return nil, service.BadRequest(err.Error())
			}
			switch q.SKU {
			case "slow":
				<-ctx.Done()
				return nil, ctx.Err()
			case "broken":
				return nil, errors.New("password is 1234")
			case "none":
				return nil, service.Invalid("no such sku")
			}
			return quote{Days: 2}, nil
		})
	}
	start(t, url, serve)
	start(t, url, serve)
	eventually(t, func() bool { _, err := ask(t.Context(), "tea"); return err == nil })
	before := len(seen.all())
	q := quote{}
	require.NoError(t, b.Request(service.WithOperation(t.Context(), service.Operation{ID: "op-1"}), "shipping.quote", question{"tea"}, &q))
	assert.Equal(t, quote{Days: 2}, q)
	assert.Equal(t, "op-1", seen.all()[len(seen.all())-1])
	assert.Len(t, seen.all(), before+1, "one of the two answers")

	var refusal *ReplyError
	_, err = ask(t.Context(), "none")
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, 422, refusal.Code)
	assert.Contains(t, refusal.Text, "no such sku")
	_, err = ask(t.Context(), "broken")
	require.ErrorAs(t, err, &refusal)
	assert.Equal(t, 500, refusal.Code)
	assert.NotContains(t, err.Error(), "1234")

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = ask(ctx, "slow")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	b.Close()
	_, err = ask(t.Context(), "tea")
	assert.ErrorIs(t, err, ErrNoResponders, "with the bus away it fails at once")
}

// TestServeEnds: what was asked before the end is answered.
func TestServeEnds(t *testing.T) {
	t.Parallel()
	url := bustest.Start(t)
	b := client(t, url)
	const asked = 2 * replyWorkers // half of them wait
	begun, ending := make(chan struct{}, asked), make(chan struct{})
	i := start(t, url, func(h *service.Host, b *Bus) {
		b.Serve(h, "shipping.quote", func(context.Context, []byte) (any, error) {
			begun <- struct{}{}
			<-ending
			return quote{Days: 2}, nil
		})
		h.Go("end", func(ctx context.Context) error { <-ctx.Done(); close(ending); return nil })
	})
	eventually(t, func() bool { return i.conn.NumSubscriptions() > 0 })
	require.NoError(t, i.conn.Flush()) // the subscription is known
	errs := make(chan error, asked)
	for range asked {
		go func() { errs <- b.Request(t.Context(), "shipping.quote", question{"tea"}, &quote{}) }()
	}
	for range replyWorkers {
		<-begun
	}
	eventually(t, func() bool { return b.conn.Stats().OutMsgs >= asked })
	require.NoError(t, b.conn.Flush())
	require.NoError(t, i.conn.Flush()) // all have come
	i.stop()
	for range asked {
		assert.NoError(t, <-errs)
	}
}

func FuzzReadReply(f *testing.F) {
	f.Add([]byte(`{"days":2}`), "")
	f.Add([]byte(`{`), "x")
	f.Fuzz(func(t *testing.T, data []byte, code string) {
		var q quote
		if err := readReply(&nats.Msg{Data: data, Header: nats.Header{headerErrorCode: {code}}}, &q); err == nil && code != "" {
			t.Fatalf("refusal %q read as answer %+v", code, q)
		}
	})
}
