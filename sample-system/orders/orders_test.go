package orders

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
)

var (
	lost        = &call.LostError{Edge: "e", Err: errors.New("reset")}
	unavailable = &call.StatusError{Edge: "e", Status: 503}
	refused     = &call.StatusError{Edge: "e", Status: 409, Detail: "out of stock"}
)

// TestRetry runs on a fake clock.
func TestRetry(t *testing.T) {
	for name, tt := range map[string]struct {
		defects  []string
		fail     error
		attempts int // 0: far more than the cap
		keys     []string
	}{
		"lost reply, three attempts": {nil, lost, 3, []string{"k", "k", "k"}},
		"503, three attempts":        {nil, unavailable, 3, []string{"k", "k", "k"}},
		"refusal, one attempt":       {nil, refused, 1, []string{"k"}},
		"D02 has no cap":             {[]string{defect.UncappedRetry}, unavailable, 0, nil},
		"D06 changes the key":        {[]string{defect.RetryWithoutKey}, lost, 3, []string{"k", "k.retry2", "k.retry3"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := servicetest.Host(t, tt.defects...)
				ctx, cancel := context.WithTimeout(t.Context(), forwardDeadline)
				defer cancel()
				var keys []string
				var at []time.Time
				err := newRetry(h, "e").do(ctx, "k", func(_ context.Context, key string) error {
					keys, at = append(keys, key), append(at, time.Now())
					return tt.fail
				})
				require.Error(t, err)
				if tt.attempts == 0 {
					assert.Greater(t, len(keys), 20)
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					return
				}
				assert.Equal(t, tt.keys, keys)
				assert.ErrorIs(t, err, tt.fail)
				if len(at) == 3 {
					first, second := at[1].Sub(at[0]), at[2].Sub(at[1])
					assert.InDelta(t, 50*time.Millisecond, first, float64(11*time.Millisecond))
					assert.InDelta(t, 100*time.Millisecond, second, float64(21*time.Millisecond))
				}
			})
		})
	}
}

func TestRetryTimesEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRetry(servicetest.Host(t), "e")
		started, n := time.Now(), 0
		err := r.do(t.Context(), "k", func(ctx context.Context, _ string) error {
			if n++; n == 1 {
				<-ctx.Done() // hangs
				return lost
			}
			return nil
		})
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		assert.InDelta(t, attemptTimeout+retryDelay, time.Since(started), float64(11*time.Millisecond))
	})
}

func TestRetryCounts(t *testing.T) {
	h := servicetest.Host(t)
	_ = newRetry(h, "e").do(t.Context(), "k", func(context.Context, string) error { return lost })
	assert.Equal(t, 2.0, servicetest.Metric(t, h, "retry_attempts_total"))
	assert.Equal(t, 1.0, servicetest.Metric(t, h, "retries_exhausted_total"))
}

func TestUndo(t *testing.T) {
	for _, tt := range []struct {
		at     state
		failed error
		want   state
	}{
		{stateReserving, refused, stateCancelled}, // nothing was done
		{stateReserving, lost, stateReleasing},    // may have been done
		{stateReserving, errInterrupted, stateReleasing},
		{stateCharging, refused, stateReleasing},
		{stateCharging, unavailable, stateRefunding},
		{stateCommitting, unavailable, stateRefunding},
		{stateCommitting, refused, stateRefunding},
		{stateRefunding, errInterrupted, stateRefunding},
		{stateReleasing, errInterrupted, stateReleasing},
	} {
		assert.Equal(t, tt.want, undo(tt.at, tt.failed), "%s after %v", tt.at, tt.failed)
	}
}

func TestAnswer(t *testing.T) {
	for err, want := range map[error]int{
		refused: 409, unavailable: 503, lost: 503,
		&call.StatusError{Status: 402}: 402, &call.StatusError{Status: 400}: 503, context.DeadlineExceeded: 503,
	} {
		code, _ := answer(err)
		assert.Equal(t, want, code, "%v", err)
	}
}

// TestCompensationSurvives: what is begun is there for the next run, unless
// under D19.
func TestCompensationSurvives(t *testing.T) {
	for name, tt := range map[string]struct {
		defects []string
		resumed int
		state   state
	}{
		"durable":       {nil, 1, stateRefunding},
		"D19 in memory": {[]string{defect.CompensationInRAM}, 0, stateCommitting},
	} {
		t.Run(name, func(t *testing.T) {
			h := servicetest.Host(t, tt.defects...)
			l := openLog(t, h)
			s := &saga{order: Order{ID: "a", SKU: "tea", Qty: 1, Amount: 1, Customer: "c"}, state: stateCommitting}
			require.NoError(t, l.begin(t.Context(), s))
			before := newCompensator(h, l, nil)
			require.NoError(t, before.begin(t.Context(), s, unavailable))
			assert.Len(t, before.take(9), 1)

			after := newCompensator(h, l, nil) // the next process
			require.NoError(t, after.resume(t.Context()))
			assert.Len(t, after.take(9), tt.resumed)
			found, _, err := l.find(t.Context(), "a")
			require.NoError(t, err)
			assert.Equal(t, tt.state, found.state)
		})
	}
}

// TestCompensationRepeats: a compensation that fails is repeated until it succeeds.
func TestCompensationRepeats(t *testing.T) {
	h := servicetest.Host(t)
	l := openLog(t, h)
	refunds, releases := 0, 0
	fake := func(_ context.Context, h *service.Host) error {
		h.Handle("POST /refunds", func(w http.ResponseWriter, _ *http.Request) error {
			if refunds++; refunds < 3 {
				return service.Problem{Status: 503}
			}
			return nil
		})
		h.Handle("POST /reservations/{order}/release", func(http.ResponseWriter, *http.Request) error { releases++; return nil })
		return nil
	}
	client := call.New(h, "fake", servicetest.Start(t, fake, nil))
	c := newCompensator(h, l, newSteps(h, client, client))
	s := &saga{order: Order{ID: "a", SKU: "tea", Qty: 1, Amount: 1, Customer: "c"}, state: stateCommitting}
	require.NoError(t, l.begin(t.Context(), s))
	require.NoError(t, c.begin(t.Context(), s, lost))

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.run(ctx) }()
	require.Eventually(t, func() bool {
		found, _, err := l.find(t.Context(), "a")
		return err == nil && found.state == stateCancelled
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	assert.Equal(t, 3, refunds)
	assert.Equal(t, 1, releases)
}

func TestFullBacklogTakesNoOrders(t *testing.T) {
	h := servicetest.Host(t)
	l := openLog(t, h)
	c := newCompensator(h, l, nil)
	c.backlog = make([]*saga, maxBacklog)
	o := &orchestrator{log: l, compensator: c, done: newSagaCounter(h)}
	_, err := o.place(t.Context(), Order{ID: "a"})
	require.ErrorIs(t, err, errOverloaded)
	_, found, err := l.find(t.Context(), "a")
	require.NoError(t, err)
	assert.False(t, found, "the order was not begun")
}

// TestConfirmWritesTheEvent: order and event in one transaction.
func TestConfirmWritesTheEvent(t *testing.T) {
	h := servicetest.Host(t)
	l := openLog(t, h)
	s := &saga{order: Order{ID: "a", SKU: "tea", Qty: 1, Amount: 7, Customer: "c"}, state: stateCommitting}
	require.NoError(t, l.begin(t.Context(), s))
	require.NoError(t, l.confirm(t.Context(), s))
	rows, err := newRelay(h, l.db, nil).oldest(t.Context())
	require.NoError(t, err)
	require.Len(t, rows, 1)
	msg := message(rows[0])
	assert.Equal(t, "a", msg.Header.Get("Nats-Msg-Id"))
	assert.Equal(t, "a", msg.Header.Get("X-Request-Id"))
	assert.Contains(t, string(msg.Data), `"order":"a","customer":"c","amount_cents":7`)
}

func openLog(t *testing.T, h *service.Host) *log {
	db, err := store.Open(h, "orders.db", schema)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, db.Read.Close())
		require.NoError(t, db.Write.Close())
	})
	return &log{db: db}
}
