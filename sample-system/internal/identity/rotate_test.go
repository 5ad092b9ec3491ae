package identity_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/identity"
)

// rotate calls over new connections until the certificate that the callee
// started with has been expired for a while, and returns the failures.
func rotate(t *testing.T, defects ...string) (failed []error) {
	env, stop := certificates(t, "2s")
	defer stop()
	to := callee(t, "payments", env, defects...)
	from := newCaller(t, "orders", "payments", env)
	require.Eventually(t, func() bool { return to.Ready() == nil }, 5*time.Second, 10*time.Millisecond)
	for end := time.Now().Add(2500 * time.Millisecond); time.Now().Before(end); {
		code, _, err := from.get(to)
		if err == nil && code != 200 {
			err = fmt.Errorf("status %d", code)
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return failed
}

// TestRotation: certificates are replaced under load, without a restart.
func TestRotation(t *testing.T) {
	t.Parallel()
	t.Run("correct", func(t *testing.T) { t.Parallel(); assert.Empty(t, rotate(t)) })
	t.Run(defect.CertificateLoadOnce, func(t *testing.T) {
		t.Parallel()
		failed := rotate(t, defect.CertificateLoadOnce)
		require.NotEmpty(t, failed, "handshakes should fail once the first certificate has expired")
		assert.ErrorContains(t, failed[0], "expired")
	})
}

// TestConnectionEndsWithCertificate: a connection that is always busy does not
// outlive the certificate that it was opened with, and no request fails for it.
func TestConnectionEndsWithCertificate(t *testing.T) {
	t.Parallel()
	env, stop := certificates(t, "2s")
	defer stop()
	to := callee(t, "payments", env)
	transport := &http.Transport{TLSClientConfig: newCaller(t, "orders", "payments", env).tls, MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var first, expiry time.Time
	connections := map[string]bool{}
	for first.IsZero() || time.Now().Before(first.Add(3*time.Second)) {
		resp, err := client.Get("https://" + to.Addr() + "/charge")
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		if leaf := resp.TLS.PeerCertificates[0]; first.IsZero() {
			first, expiry = time.Now(), leaf.NotAfter
		} else if time.Now().After(expiry.Add(time.Second)) {
			assert.NotEqual(t, expiry, leaf.NotAfter, "still on the connection with the expired certificate")
		}
		connections[resp.TLS.PeerCertificates[0].SerialNumber.String()] = true
	}
	assert.GreaterOrEqual(t, len(connections), 2)
}

// TestHalfReplaced: a key without its certificate, and rubbish, leave the pair
// before in use.
func TestHalfReplaced(t *testing.T) {
	env, stop := certificates(t, "1h")
	defer stop()
	other, stopOther := certificates(t, "1h")
	defer stopOther()
	to := callee(t, "payments", env)
	from := newCaller(t, "orders", "payments", env)
	for _, half := range [][]byte{read(t, other, "payments.key"), []byte("rubbish"), nil} {
		path := filepath.Join(env["SHOP_CERTS"], "payments.key")
		require.NoError(t, os.WriteFile(path+".new", half, 0o600))
		_, _, err := from.get(to) // has the callee read the pair that fits
		require.NoError(t, err)
		require.NoError(t, os.Rename(path+".new", path))
		code, _, err := from.get(to)
		require.NoError(t, err)
		assert.Equal(t, 200, code)
	}
}

func read(t *testing.T, env map[string]string, name string) []byte {
	b, err := os.ReadFile(filepath.Join(env["SHOP_CERTS"], name))
	require.NoError(t, err)
	return b
}

// FuzzCertificate: whatever bytes the other side shows, its name is read
// without harm.
func FuzzCertificate(f *testing.F) {
	f.Add("spiffe://shop/orders")
	f.Add("spiffe://other/orders")
	f.Add("https://shop/")
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := url.Parse(uri)
		if err != nil {
			return
		}
		name := identity.NameOf(&x509.Certificate{URIs: []*url.URL{u}})
		if name != "unknown" && identity.ID(name).Path != u.Path {
			t.Fatalf("%q became %q", uri, name)
		}
	})
}
