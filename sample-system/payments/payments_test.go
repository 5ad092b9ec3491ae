package payments

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/psp"
)

// provider is a real psp behind a handler that a test may put before it.
type testProvider struct {
	url   string // of the handler
	books string
	calls atomic.Int32 // charges that came
	hook  atomic.Pointer[func(w http.ResponseWriter, r *http.Request, forward func() *httptest.ResponseRecorder)]
}

func newTestProvider(t *testing.T) *testProvider {
	p := &testProvider{}
	real := servicetest.Start(t, psp.Setup, nil)
	p.books = real + "/audit/money"
	target, err := url.Parse(real)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/charges" {
			p.calls.Add(1)
			if hook := p.hook.Load(); hook != nil {
				(*hook)(w, r, func() *httptest.ResponseRecorder {
					rec := httptest.NewRecorder()
					proxy.ServeHTTP(rec, r)
					return rec
				})
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

// onCharge replaces what a charge meets.
func (p *testProvider) onCharge(f func(w http.ResponseWriter, r *http.Request, forward func() *httptest.ResponseRecorder)) {
	p.hook.Store(&f)
}

func refuse(w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) {
	w.WriteHeader(http.StatusServiceUnavailable)
}

// loseReply executes the charge and drops the connection.
func loseReply(_ http.ResponseWriter, _ *http.Request, forward func() *httptest.ResponseRecorder) {
	forward()
	panic(http.ErrAbortHandler)
}

func start(t *testing.T, defects ...string) (payments string, primary, backup *testProvider) {
	primary, backup = newTestProvider(t), newTestProvider(t)
	return servicetest.Start(t, Setup, map[string]string{"PSP_PRIMARY_URL": primary.url, "PSP_BACKUP_URL": backup.url}, defects...), primary, backup
}

func charge(t *testing.T, payments, key, order string) int {
	code, _ := servicetest.Post(t, payments+"/charges", key, `{"order":"`+order+`","amount_cents":100}`)
	return code
}

func refund(t *testing.T, payments, order string) int {
	code, _ := servicetest.Post(t, payments+"/refunds", order, `{"order":"`+order+`"}`)
	return code
}

func becomes(t *testing.T, want []int, book, key string) {
	t.Helper()
	require.Eventually(t, func() bool { return assert.ObjectsAreEqual(want, servicetest.Effects(t, book, key)) },
		5*time.Second, 10*time.Millisecond, "%s of %s: want %v", book, key, want)
}

func TestChargeIsIdempotent(t *testing.T) {
	payments, primary, _ := start(t)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { assert.Equal(t, 201, charge(t, payments, "a", "a")) })
	}
	wg.Wait()
	assert.Equal(t, 201, charge(t, payments, "a", "a"))
	assert.Equal(t, []int{1}, servicetest.Effects(t, payments+"/audit/charges", "a"))
	assert.EqualValues(t, 1, primary.calls.Load())

	assert.Equal(t, 201, charge(t, payments, "a.retry2", "a"), "another key is another charge")
	assert.Equal(t, []int{1, 1}, servicetest.Effects(t, payments+"/audit/charges", "a"))
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
		"two values":    {"a", `{"order":"a","amount_cents":1}{}`, 400},
	} {
		t.Run(name, func(t *testing.T) {
			code, body := servicetest.Post(t, payments+"/charges", tt.key, tt.body)
			assert.Equal(t, tt.want, code, body)
		})
	}
}

func TestFallback(t *testing.T) {
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
	payments, primary, backup := start(t)
	for range 2 {
		code, _ := servicetest.Post(t, payments+"/charges", "a", `{"order":"a","amount_cents":99999999}`)
		assert.Equal(t, 402, code)
	}
	assert.EqualValues(t, 1, primary.calls.Load())
	assert.Zero(t, backup.calls.Load(), "a refusal is no reason to ask elsewhere")
}

func TestTimeout(t *testing.T) {
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
	payments, primary, backup := start(t)
	primary.onCharge(loseReply)
	assert.Equal(t, 201, charge(t, payments, "a", "a"))
	becomes(t, []int{1, -1}, primary.books, "a")
	assert.Equal(t, []int{1}, servicetest.Effects(t, backup.books, "a"))
	assert.Equal(t, []int{1}, servicetest.Effects(t, payments+"/audit/charges", "a"))
	assert.EqualValues(t, 1, primary.calls.Load(), "a lost POST must not be repeated behind our back")
}

func TestVoidOfOneAttemptSparesTheNext(t *testing.T) {
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
	payments, primary, _ := start(t)
	assert.Equal(t, 200, refund(t, payments, "a"))
	assert.Equal(t, 409, charge(t, payments, "a", "a"))
	assert.Zero(t, primary.calls.Load())
}

func TestRefundOvertakesCharge(t *testing.T) {
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

func TestInterruptedAttemptsAreVoided(t *testing.T) {
	_, primary, backup := start(t)
	h := servicetest.Host(t)
	b, f := openBook(t, h), (*fallback)(nil)
	a, err := b.begin(t.Context(), "a", "a", "psp-primary")
	require.NoError(t, err)
	require.NoError(t, b.voidInterrupted(t.Context()))
	f = &fallback{[]*provider{newProvider(h, b, "psp-primary", primary.url, primaryTimeout), newProvider(h, b, "psp-backup", backup.url, backupTimeout)}}
	require.NoError(t, newReconciler(h, b, f).round(t.Context()))
	left, err := attempts(t.Context(), b.db.Read, `WHERE id = ?`, a.id)
	require.NoError(t, err)
	require.Len(t, left, 1)
	assert.Equal(t, attemptVoided, left[0].state)
}

// TestBreaker runs on a fake clock.
func TestBreaker(t *testing.T) {
	down := &call.LostError{Edge: "e", Err: errors.New("reset")}
	for name, tt := range map[string]struct {
		defects   []string
		halfOpens bool
	}{
		"half-opens after 2 s": {nil, true},
		"D10 stays open":       {[]string{defect.BreakerStaysOpen}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(servicetest.Host(t, tt.defects...), "e")
				for range breakerWindow {
					b.RecordError(&call.StatusError{Status: 402}) // a refusal is healthy
				}
				for i := range breakerFailures {
					require.True(t, b.IsClosed(), "after %d failures", i)
					require.True(t, b.TryAcquirePermit())
					b.RecordError(down)
				}
				require.Equal(t, circuitbreaker.OpenState, b.State())
				assert.False(t, b.TryAcquirePermit())
				time.Sleep(breakerDelay)
				require.Equal(t, tt.halfOpens, b.TryAcquirePermit())
				if tt.halfOpens {
					assert.False(t, b.TryAcquirePermit(), "one trial at a time")
					b.RecordSuccess()
					assert.True(t, b.IsClosed())
				}
			})
		})
	}
}
