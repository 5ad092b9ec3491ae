package payments

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/bustest"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
	"squall/sample-system/internal/storetest"
	"squall/sample-system/psp"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// testProvider is a real psp behind a handler that a test may put before it.
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

// shop is payments on one database, with both providers.
type shop struct {
	t               *testing.T
	env             map[string]string
	primary, backup *testProvider
}

func newShop(t *testing.T, h *service.Host) *shop {
	s := &shop{t: t, primary: newTestProvider(t), backup: newTestProvider(t), env: storetest.Env(h)}
	maps.Copy(s.env, map[string]string{"PSP_PRIMARY_URL": s.primary.url, "PSP_BACKUP_URL": s.backup.url, "NATS_URL": bustest.Start(t)})
	return s
}

// instance starts one more instance and returns its URL.
func (s *shop) instance(defects ...string) string {
	return servicetest.Start(s.t, Setup, s.env, defects...)
}

// start is one instance on SQLite.
func start(t *testing.T, defects ...string) (payments string, primary, backup *testProvider) {
	s := newShop(t, servicetest.Host(t))
	return s.instance(defects...), s.primary, s.backup
}

func openBook(t *testing.T, h *service.Host) *book {
	db, err := store.Open(h, "payments", schema)
	require.NoError(t, err)
	return newBook(db)
}

// fallback is the providers of a shop as the parts below Setup see them.
func (s *shop) fallback(h *service.Host, b *book) *fallback {
	return &fallback{[]*provider{
		newProvider(h, b, "psp-primary", s.primary.url, primaryTimeout),
		newProvider(h, b, "psp-backup", s.backup.url, backupTimeout),
	}}
}

// leading is an election that is won in a term.
type leading int64

func (l leading) Term() (int64, bool) { return int64(l), true }

func charge(t *testing.T, payments, key, order string) int {
	t.Helper()
	code, _ := servicetest.Post(t, payments+"/charges", key, `{"order":"`+order+`","amount_cents":100}`)
	return code
}

func refund(t *testing.T, payments, order string) int {
	t.Helper()
	code, _ := servicetest.Post(t, payments+"/refunds", order, `{"order":"`+order+`"}`)
	return code
}

func becomes(t *testing.T, want []int, book, key string) {
	t.Helper()
	require.Eventually(t, func() bool { return assert.ObjectsAreEqual(want, servicetest.Effects(t, book, key)) },
		10*time.Second, 10*time.Millisecond, "%s of %s: want %v", book, key, want)
}
