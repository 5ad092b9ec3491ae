package issuer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
)

func environment(t *testing.T, ttl string) map[string]string {
	dir := t.TempDir() // the folders themselves are the issuer's to make
	return map[string]string{"SHOP_DATA": filepath.Join(dir, "data"), "SHOP_CERTS": filepath.Join(dir, "certs"), "SHOP_CERT_TTL": ttl}
}

func run(t *testing.T, env map[string]string) (url string, stop func()) {
	h, stop := servicetest.Run(t, Setup, servicetest.Config(t, env))
	return "http://" + h.Addr(), stop
}

// current is the certificate that a service would read.
func current(t *testing.T, env map[string]string, name string) *x509.Certificate {
	path := filepath.Join(env["SHOP_CERTS"], name)
	pair, err := tls.LoadX509KeyPair(path+".pem", path+".key")
	if err != nil {
		return nil // amid a replacement
	}
	return pair.Leaf
}

func rows(t *testing.T, url string) (all []audit.Row) {
	code, body := servicetest.Get(t, url+"/audit/certificates")
	require.Equal(t, 200, code)
	require.NoError(t, json.Unmarshal([]byte(body), &all))
	return all
}

// TestCertificates: each service has one in its own name, by the one authority,
// which nobody else can read the key of.
func TestCertificates(t *testing.T) {
	env := environment(t, "")
	url, stop := run(t, env)
	defer stop()
	pem, err := os.ReadFile(filepath.Join(env["SHOP_CERTS"], "ca.pem"))
	require.NoError(t, err)
	assert.NotContains(t, string(pem), "PRIVATE")
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(pem))
	for _, name := range identity.Services() {
		cert := current(t, env, name)
		require.NotNil(t, cert, name)
		assert.Equal(t, "spiffe://shop/"+name, cert.URIs[0].String())
		assert.Equal(t, time.Hour, cert.NotAfter.Sub(cert.NotBefore))
		_, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		assert.NoError(t, err, name)
		info, err := os.Stat(filepath.Join(env["SHOP_CERTS"], name+".key"))
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	assert.Len(t, rows(t, url), len(identity.Services()))
	info, err := os.Stat(filepath.Join(env["SHOP_DATA"], "authority.pem"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

// TestRenewal: a certificate is replaced after two thirds of its life.
func TestRenewal(t *testing.T) {
	env := environment(t, "2s")
	url, stop := run(t, env)
	defer stop()
	first := current(t, env, "orders")
	var second *x509.Certificate
	require.Eventually(t, func() bool {
		second = current(t, env, "orders")
		return second != nil && !second.Equal(first)
	}, 5*time.Second, 5*time.Millisecond)
	assert.True(t, second.NotBefore.Before(first.NotAfter), "there was a time without a valid one")
	code, _ := servicetest.Get(t, url+"/readyz")
	assert.Equal(t, 200, code)
}

// TestAuthoritySurvivesRestart: so do the certificates that are still good.
func TestAuthoritySurvivesRestart(t *testing.T) {
	env := environment(t, "1h")
	_, stop := run(t, env)
	stop()
	before := current(t, env, "orders")
	require.NoError(t, os.Remove(filepath.Join(env["SHOP_CERTS"], "users.key")))
	wrong := filepath.Join(env["SHOP_CERTS"], "reviews")
	for _, suffix := range []string{".pem", ".key"} {
		b, err := os.ReadFile(filepath.Join(env["SHOP_CERTS"], "orders"+suffix))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(wrong+suffix, b, 0o600))
	}

	url, stop := run(t, env)
	defer stop()
	assert.True(t, before.Equal(current(t, env, "orders")))
	assert.NotNil(t, current(t, env, "users"))
	assert.Equal(t, "reviews", identity.NameOf(current(t, env, "reviews")), "one in another's name does not stay")
	assert.Len(t, rows(t, url), 2)
}

func TestBrokenAuthority(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "rubbish": "rubbish"} {
		t.Run(name, func(t *testing.T) {
			env := environment(t, "")
			require.NoError(t, os.Mkdir(env["SHOP_DATA"], 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(env["SHOP_DATA"], "authority.pem"), []byte(content), 0o600))
			_, err := service.New(t.Context(), servicetest.Config(t, env), Setup)
			assert.ErrorContains(t, err, "open authority", "it must not be replaced silently")
		})
	}
}

func TestBadConfiguration(t *testing.T) {
	for ttl, want := range map[string]string{"soon": "SHOP_CERT_TTL", "1s": "at least 2s"} {
		_, err := service.New(t.Context(), servicetest.Config(t, environment(t, ttl)), Setup)
		assert.ErrorContains(t, err, want)
	}
	_, err := service.New(t.Context(), servicetest.Config(t, map[string]string{}), Setup)
	assert.ErrorContains(t, err, "SHOP_CERTS is not set")
}

// TestOrder: a certificate out of turn, in another's name or for a short time,
// stays if it is held.
func TestOrder(t *testing.T) {
	env := environment(t, "1h")
	url, stop := run(t, env)
	defer stop()
	code, body := servicetest.Post(t, url+"/certificates/orders", "", `{"as":"reviews"}`)
	require.Equal(t, 201, code, body)
	assert.Equal(t, "reviews", identity.NameOf(current(t, env, "orders")))

	code, _ = servicetest.Post(t, url+"/certificates/users", "", `{"ttl_ms":1000,"hold":true}`)
	require.Equal(t, 201, code)
	held := current(t, env, "users")
	require.Eventually(t, func() bool { return time.Now().After(held.NotAfter) }, 5*time.Second, 5*time.Millisecond)
	assert.True(t, held.Equal(current(t, env, "users")), "renewed, though held")

	code, _ = servicetest.Post(t, url+"/certificates/users", "", `{}`)
	require.Equal(t, 201, code)
	assert.Equal(t, time.Hour, current(t, env, "users").NotAfter.Sub(current(t, env, "users").NotBefore))

	for _, test := range []struct {
		service, body string
		code          int
	}{
		{"nobody", `{}`, 404},
		{"users", `{"as":"nobody"}`, 422},
		{"users", `{"ttl_ms":-5}`, 422},
		{"users", `{"ttl_ms":99999999}`, 422},
		{"users", `{"tll_ms":5}`, 400},
		{"users", `not json`, 400},
	} {
		code, body := servicetest.Post(t, url+"/certificates/"+test.service, "", test.body)
		assert.Equal(t, test.code, code, test.body)
		assert.Contains(t, body, `"title"`)
	}
}

// TestUnwritable: what cannot be written is counted, tried again, and makes the
// issuer not ready only when somebody is without.
func TestUnwritable(t *testing.T) {
	env := environment(t, "1h")
	h := servicetest.Host(t)
	require.NoError(t, os.Mkdir(env["SHOP_DATA"], 0o700))
	require.NoError(t, os.Mkdir(env["SHOP_CERTS"], 0o700))
	ca, err := openAuthority(env["SHOP_DATA"])
	require.NoError(t, err)
	r := newRenewer(h, ca, filepath.Join(env["SHOP_CERTS"], "missing"), time.Hour)
	require.Error(t, r.start())
	assert.LessOrEqual(t, r.renewDue(), retryAfter)
	assert.Error(t, r.ready(t.Context()))
	r.dir = env["SHOP_CERTS"]
	require.NoError(t, r.start())
	assert.NoError(t, r.ready(t.Context()))
	assert.InDelta(t, 40*time.Minute, r.renewDue(), float64(2*time.Second))
}

func FuzzAuthority(f *testing.F) {
	path := filepath.Join(f.TempDir(), "authority.pem")
	_, err := newAuthority(path)
	require.NoError(f, err)
	good, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(good)
	f.Add(bytes.ReplaceAll(good, []byte("PRIVATE"), []byte("PUBLIC")))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ca, err := parseAuthority(b); err == nil && (ca.cert == nil || ca.key == nil) {
			t.Fatal("half an authority")
		}
	})
}

func FuzzOrder(f *testing.F) {
	f.Add(`{"as":"reviews","ttl_ms":1000,"hold":true}`)
	f.Add(`{"ttl_ms":9223372036854775807}`)
	f.Add(`[]`)
	ca, err := newAuthority(filepath.Join(f.TempDir(), "authority.pem"))
	require.NoError(f, err)
	r := newRenewer(service.Bare(servicetest.Config(f, nil)), ca, f.TempDir(), time.Hour)
	f.Fuzz(func(t *testing.T, body string) {
		req := httptest.NewRequest(http.MethodPost, "/certificates/users", strings.NewReader(body))
		req.SetPathValue("service", "users")
		w := httptest.NewRecorder()
		if err := r.handleIssue(w, req); err != nil {
			var p service.Problem
			require.ErrorAs(t, err, &p)
		} else if ttl := time.Until(r.issued["users"].NotAfter); ttl > time.Hour {
			t.Fatalf("%s issued for %s", body, ttl)
		}
	})
}
