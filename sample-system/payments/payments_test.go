package payments

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/leader"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

// TestChargeIsIdempotent: the same key at both instances, at once and later.
func TestChargeIsIdempotent(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		s := newShop(t, h)
		instances := []string{s.instance(), s.instance()}
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { assert.Equal(t, 201, charge(t, instances[i%2], "a", "a")) })
		}
		wg.Wait()
		for _, payments := range instances {
			assert.Equal(t, 201, charge(t, payments, "a", "a"))
			assert.Equal(t, []int{1}, servicetest.Effects(t, payments+"/audit/charges", "a"))
		}
		assert.EqualValues(t, 1, s.primary.calls.Load())

		assert.Equal(t, 201, charge(t, instances[0], "a.retry2", "a"), "another key is another charge")
		assert.Equal(t, []int{1, 1}, servicetest.Effects(t, instances[1]+"/audit/charges", "a"))
	})
}

// TestClaimOfTheDead: an instance dies while it charges. The other one answers
// the key when the claim has run out. Then the first turns out to have been
// asleep: its charge is not booked, and its money goes back.
func TestClaimOfTheDead(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		s, b := newShop(t, h), openBook(t, h)
		payments := s.instance()
		_, found, mine, err := b.claim(t.Context(), "a", "a", "asleep", time.Now())
		require.NoError(t, err)
		require.True(t, mine && !found)
		first, err := b.begin(t.Context(), "a", "a", "psp-primary")
		require.NoError(t, err)

		assert.Equal(t, 201, charge(t, payments, "a", "a"))
		second, err := b.begin(t.Context(), "a", "a", "psp-primary")
		require.NoError(t, err, "it goes on with its next step")
		for _, late := range []attempt{first, second} {
			code, _ := servicetest.Post(t, s.primary.url+"/charges", late.id, `{"order":"a","amount_cents":100}`)
			r, err := b.charged(t.Context(), late)
			require.NoError(t, err)
			assert.Equal(t, result{statusCharged, "psp-primary"}, r, "attempt %s, status %d", late.id, code)
		}
		assert.Equal(t, []int{1}, servicetest.Effects(t, payments+"/audit/charges", "a"))
		require.Eventually(t, func() bool {
			sum := 0
			for _, e := range servicetest.Effects(t, s.primary.books, "a") {
				sum += e
			}
			left, err := attempts(t.Context(), b.db, `WHERE state IN ('sent', 'void')`)
			return assert.NoError(t, err) && sum == 1 && len(left) == 0
		}, 10*time.Second, 10*time.Millisecond, "the provider has taken the money once")
	})
}

func TestChargeRefusesBadInput(t *testing.T) {
	payments, _, _ := start(t)
	for name, tt := range map[string]struct {
		key, body string
		want      int
	}{
		"no key":        {"", `{"order":"a","amount_cents":1}`, 422},
		"no amount":     {"a", `{"order":"a"}`, 422},
		"unknown field": {"a", `{"order":"a","amount_cents":1,"x":1}`, 400},
		"no json":       {"a", `money`, 400},
		"oversized":     {"a", `{"order":"` + strings.Repeat("a", service.MaxBody) + `"}`, 413},
		"two values":    {"a", `{"order":"a","amount_cents":1}{}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := servicetest.Post(t, payments+"/charges", tt.key, tt.body)
			assert.Equal(t, tt.want, code, body)
		})
	}
}

func TestFallback(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		defects                 []string
		code, primary, fallback int32
	}{
		"backup takes over":          {nil, 201, 1, 1},
		"D28 fails with the primary": {[]string{defect.FallbackToPrimary}, 503, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			payments, primary, backup := start(t, tt.defects...)
			primary.onCharge(refuse)
			assert.EqualValues(t, tt.code, charge(t, payments, "a", "a"))
			assert.Equal(t, tt.primary, primary.calls.Load())
			assert.Equal(t, tt.fallback, backup.calls.Load())
		})
	}
}

func TestDeclinedIsFinal(t *testing.T) {
	t.Parallel()
	payments, primary, backup := start(t)
	for range 2 {
		code, _ := servicetest.Post(t, payments+"/charges", "a", `{"order":"a","amount_cents":99999999}`)
		assert.Equal(t, 402, code)
	}
	assert.EqualValues(t, 1, primary.calls.Load())
	assert.Zero(t, backup.calls.Load(), "a refusal is no reason to ask elsewhere")
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	block := func(_ http.ResponseWriter, r *http.Request, _ func() *httptest.ResponseRecorder) {
		_, _ = io.Copy(io.Discard, r.Body) // or the server does not notice that the client hangs up
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}
	t.Run("backup after 400 ms", func(t *testing.T) {
		payments, primary, backup := start(t)
		primary.onCharge(block)
		assert.Equal(t, 201, charge(t, payments, "a", "a"))
		assert.EqualValues(t, 1, backup.calls.Load())
	})
	t.Run("D07 waits", func(t *testing.T) {
		payments, primary, backup := start(t, defect.NoClientTimeout)
		primary.onCharge(block)
		answered := make(chan int, 1)
		go func() { answered <- charge(t, payments, "a", "a") }()
		select {
		case code := <-answered:
			assert.Failf(t, "answered", "code %d", code)
		case <-time.After(primaryTimeout + backupTimeout):
		}
		assert.Zero(t, backup.calls.Load())
		close(hang)
		<-answered
	})
}

func TestLostChargeIsVoided(t *testing.T) {
	t.Parallel()
	payments, primary, backup := start(t)
	primary.onCharge(loseReply)
	assert.Equal(t, 201, charge(t, payments, "a", "a"))
	becomes(t, []int{1, -1}, primary.books, "a")
	assert.Equal(t, []int{1}, servicetest.Effects(t, backup.books, "a"))
	assert.Equal(t, []int{1}, servicetest.Effects(t, payments+"/audit/charges", "a"))
	assert.EqualValues(t, 1, primary.calls.Load(), "a lost POST must not be repeated behind our back")
}

func TestVoidOfOneAttemptSparesTheNext(t *testing.T) {
	t.Parallel()
	payments, primary, backup := start(t)
	primary.onCharge(loseReply)
	backup.onCharge(refuse)
	assert.Equal(t, 503, charge(t, payments, "a", "a"))
	becomes(t, []int{1, -1}, primary.books, "a")
	backup.hook.Store(nil)
	primary.hook.Store(nil)
	assert.Equal(t, 201, charge(t, payments, "a", "a"))
	assert.Equal(t, []int{1, -1, 1}, servicetest.Effects(t, primary.books, "a"))
}

func TestRefund(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		defects []string
		want    []int
	}{
		"once":      {nil, []int{1, -1}},
		"D18 twice": {[]string{defect.RefundTwice}, []int{1, -1, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			payments, primary, _ := start(t, tt.defects...)
			require.Equal(t, 201, charge(t, payments, "a", "a"))
			assert.Equal(t, 200, refund(t, payments, "a"))
			assert.Equal(t, 200, refund(t, payments, "a"))
			assert.Equal(t, tt.want, servicetest.Effects(t, payments+"/audit/charges", "a"))
			becomes(t, []int{1, -1}, primary.books, "a")
		})
	}
}

func TestRefundBeforeChargeBlocksIt(t *testing.T) {
	t.Parallel()
	payments, primary, _ := start(t)
	assert.Equal(t, 200, refund(t, payments, "a"))
	assert.Equal(t, 409, charge(t, payments, "a", "a"))
	assert.Zero(t, primary.calls.Load())
}

func TestRefundOvertakesCharge(t *testing.T) {
	t.Parallel()
	payments, primary, _ := start(t)
	primary.onCharge(func(w http.ResponseWriter, _ *http.Request, forward func() *httptest.ResponseRecorder) {
		rec := forward()
		assert.Equal(t, 200, refund(t, payments, "a"))
		w.WriteHeader(rec.Code)
	})
	assert.Equal(t, 409, charge(t, payments, "a", "a"))
	assert.Equal(t, []int{1, -1}, servicetest.Effects(t, payments+"/audit/charges", "a"))
	becomes(t, []int{1, -1}, primary.books, "a")
}

// TestInterruptedAttempts: of two attempts without an end only the old one is
// given up, by whoever leads.
func TestInterruptedAttempts(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		s, b := newShop(t, h), openBook(t, h)
		old, err := b.begin(t.Context(), "old", "old", "psp-primary")
		require.NoError(t, err)
		_, err = b.db.Exec(t.Context(), `UPDATE attempts SET at = at - ?`, attemptTime.Nanoseconds())
		require.NoError(t, err)
		young, err := b.begin(t.Context(), "young", "young", "psp-primary")
		require.NoError(t, err)
		_, err = newReconciler(h, b, s.fallback(h, b), leading(1)).look(t.Context())
		require.NoError(t, err)
		for _, a := range []struct {
			attempt
			want string
		}{{old, attemptVoided}, {young, attemptSent}} {
			got, err := attempts(t.Context(), b.db, `WHERE id = ?`, a.id)
			require.NoError(t, err)
			require.Len(t, got, 1)
			assert.Equal(t, a.want, got[0].state, a.id)
		}
	})
}

// TestReconcilerIsFenced: a leader that was paused wakes up in an earlier term.
func TestReconcilerIsFenced(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		s, b := newShop(t, h), openBook(t, h)
		r := newReconciler(h, b, s.fallback(h, b), nil)
		for term, want := range []error{1: nil, 2: nil, 3: leader.ErrFenced} {
			if term == 0 {
				continue
			}
			if term == 3 {
				term = 1
			}
			a, err := b.begin(t.Context(), "a", "a", "psp-primary")
			require.NoError(t, err)
			require.NoError(t, b.giveUp(t.Context(), a, attemptVoid))
			_, err = r.round(t.Context(), int64(term))
			require.ErrorIs(t, err, want)
		}
		_, body := servicetest.Get(t, s.instance()+"/audit/reversals")
		var rows []audit.Row
		require.NoError(t, json.Unmarshal([]byte(body), &rows))
		require.GreaterOrEqual(t, len(rows), 2)
		for i, want := range []string{"1", "2"} {
			assert.Equal(t, "void", rows[i].State)
			assert.Equal(t, 1, rows[i].Effect)
			assert.Equal(t, want, rows[i].Attrs["term"])
			assert.Equal(t, h.Name, rows[i].Attrs["writer"])
		}
	})
}

// TestRunsWithoutBus: charging needs the database and a provider, nothing else.
func TestRunsWithoutBus(t *testing.T) {
	t.Parallel()
	s := newShop(t, servicetest.Host(t))
	s.env["NATS_URL"] = "127.0.0.1:1"
	payments := s.instance()
	assert.Equal(t, 201, charge(t, payments, "a", "a"))
	require.Eventually(t, func() bool {
		code, _ := servicetest.Get(t, payments+"/readyz")
		return code == http.StatusOK
	}, 5*time.Second, 10*time.Millisecond)
}

func FuzzChargeRequest(f *testing.F) {
	f.Add(`{"order":"a","amount_cents":1}`)
	f.Add(`{"order":"a","amount_cents":1e99}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, body string) {
		p := &payments{} // whatever passes for valid must not reach the books
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/charges", strings.NewReader(body))
		if p.handleCharge(rec, r) == nil {
			t.Error("accepted without a key")
		}
		_ = service.DecodeJSON(strings.NewReader(body), &RefundRequest{}) // must not panic
	})
}
