//go:build e2e

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/service"
)

// Lives are so short that a test sees their end; a token is good for a second
// more, since clocks may differ.
const (
	certLife  = 5 * time.Second
	tokenLife = 2 * time.Second
)

// TestVariantIdentity: mutual TLS between the services, tokens at the gateway.
func TestVariantIdentity(t *testing.T) {
	s := startShop(t, variant{
		tls:  true,
		also: []member{{"issuer", []string{"issuer"}}},
		env: func(s *shop, _ string) []string {
			return []string{"SHOP_IDENTITY=on", "SHOP_CERTS=" + s.certs(), "SHOP_CERT_TTL=" + certLife.String(), "SHOP_TOKEN_TTL=" + tokenLife.String()}
		},
	})
	p := &purse{s: s}
	s.token = p.token
	s.parts(t,
		part{"tokens", func(t *testing.T) { s.testTokens(t, p) }},
		part{"journey", s.testJourney},
		part{"who may call whom", s.testCallers},
		part{"rotation under load", s.testRotation},
		part{"one expired certificate", s.testExpiredCertificate},
		part{"rotation under D39", s.testRotationD39},
		part{"expired token under D40", func(t *testing.T) { s.testTokensD40(t, p) }},
	)
}

func (s *shop) certs() string { return filepath.Join(s.dir, "certs") }

// testJourney: everything a customer does passes encrypted links.
func (s *shop) testJourney(t *testing.T) {
	assert.Equal(t, reply{code: 201, Status: "confirmed"}, s.checkout("secret", tea))
	s.becomes("secret", sold)
	for path, want := range map[string]int{"/products": 200, "/orders/secret": 200, "/customers/ada/orders": 200, "/customers/bob/orders": 403, "/profile": 200} {
		r, err := s.send(http.MethodGet, path, "journey", "")
		require.NoError(t, err)
		assert.Equal(t, want, r.code, path)
	}
	assert.Empty(t, s.missing(), "parts of a product page")
	s.end("psp-primary", syscall.SIGKILL)
	assert.Equal(t, 201, s.checkout("secret-backup", tea).code)
	assert.Len(t, s.books("psp-backup", "/audit/money")["secret-backup"], 1)
	s.start("psp-primary", "")
	s.waitReady("psp-primary")
	r, err := s.send(http.MethodPost, "/orders/secret/cancel", "secret", "")
	require.NoError(t, err)
	assert.Equal(t, 200, r.code)
}

// missing are the parts that a product page has to do without.
func (s *shop) missing() []string {
	var page struct{ Partial []string }
	assert.Equal(s.t, 200, ask(s.t, http.MethodGet, "http://"+s.addr["gateway.http"]+"/products/tea", "", &page))
	return page.Partial
}

// testCallers calls services directly, in the name of others.
func (s *shop) testCallers(t *testing.T) {
	foreign := foreignCertificate(t, "orders")
	for _, tt := range []struct {
		name, to string
		with     []tls.Certificate
		code     int    // 0: there is no connection
		says     string // in the refusal
	}{
		{"no certificate", "payments-1", nil, 0, "bad certificate"},
		{"one of a foreign authority", "payments-1", foreign, 0, "bad certificate"},
		{"forbidden edge", "payments-1", s.certificate("reviews"), 403, "reviews -> payments"},
		{"forbidden edge to a provider", "psp-primary", s.certificate("orders"), 403, "orders -> psp"},
		{"forbidden edge to legacy", "legacy", s.certificate("users"), 403, "users -> legacy"},
		{"allowed edge", "payments-2", s.certificate("orders"), 422, ""},
		{"allowed edge to a provider", "psp-backup", s.certificate("payments"), 422, ""},
		{"allowed edge to legacy", "legacy", s.certificate("gateway"), 404, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, detail, err := s.direct(t, tt.to, tt.with)
			if tt.code == 0 {
				require.Error(t, err)
				assert.Contains(t, err.Error(), tt.says)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.code, code, detail)
			assert.Contains(t, detail, tt.says)
		})
	}
	plain, err := http.Get("http://" + s.addr["payments-1.http"] + "/charges/none")
	require.NoError(t, err)
	defer plain.Body.Close()
	assert.Equal(t, 400, plain.StatusCode, "plain HTTP")
	assert.Equal(t, 1.0, s.refused("payments-1", "not_allowed"))
	assert.Equal(t, 1.0, s.refused("payments-1", "no_certificate"))
	assert.Equal(t, 1.0, s.refused("payments-1", "unknown_authority"))
}

// direct calls an instance past the gateway, for nothing that it would do.
func (s *shop) direct(t *testing.T, to string, with []tls.Certificate) (code int, detail string, err error) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{Certificates: with, InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	paths := map[string]string{"payments": "/charges", "psp": "/charges", "legacy": "/profiles/nobody"}
	method := http.MethodPost
	if s.service[to] == "legacy" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+s.addr[to+".http"]+paths[s.service[to]], strings.NewReader(`{}`))
	require.NoError(t, err)
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	var p service.Problem
	err = json.NewDecoder(resp.Body).Decode(&p)
	return resp.StatusCode, p.Detail, err
}

// certificate is the one that a service shows now.
func (s *shop) certificate(service string) []tls.Certificate {
	var pair tls.Certificate
	eventually(s.t, func() (ok bool) { // amid a replacement the two files do not fit
		var err error
		pair, err = tls.LoadX509KeyPair(filepath.Join(s.certs(), service+".pem"), filepath.Join(s.certs(), service+".key"))
		return err == nil
	}, 5*time.Second, "certificate of "+service)
	return []tls.Certificate{pair}
}

// foreignCertificate is one for a service, by an authority of its own.
func foreignCertificate(t *testing.T, service string) []tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), URIs: []*url.URL{identity.ID(service)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	return []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
}

// refused is how many callers an instance has refused for a reason.
func (s *shop) refused(name, reason string) float64 {
	return metric(s.t, s.addr[name+".ops"], "identity_refused_total", map[string]string{"reason": reason})
}

// issued is how many certificates a service has got so far.
func (s *shop) issued(service string) int {
	return len(s.books("issuer", "/audit/certificates")[service])
}

func (s *shop) testRotation(t *testing.T) {
	orders, pages := drive("rotation", 20, s.checkouts), drive("rotation-page", 20, s.pages)
	from := s.issued("payments")
	eventually(t, func() bool { return s.issued("payments") >= from+2 }, 4*certLife, "certificates are renewed")
	orders.more(t, 20) // past the end of those before
	allWith(t, 201, orders.stop())
	allWith(t, 200, pages.stop())
	for _, name := range []string{"users", "legacy", "reviews", "inventory", "catalog-1", "payments-2", "orders-1", "orders-2", "history", "psp-primary", "gateway"} {
		assert.Zero(t, s.refused(name, "expired"), name)
	}
}

// order asks the issuer for a certificate out of turn.
func (s *shop) order(service, body string) {
	require.Equal(s.t, 201, s.ops("issuer", http.MethodPost, "/certificates/"+service, body, nil))
}

// testExpiredCertificate: one service is refused, and only that.
func (s *shop) testExpiredCertificate(t *testing.T) {
	s.order("reviews", `{"ttl_ms":1000,"hold":true}`)
	eventually(t, func() bool { return len(s.missing()) > 0 }, 3*certLife, "reviews are refused")
	assert.Equal(t, []string{"reviews"}, s.missing())
	assert.Equal(t, 201, s.checkout("beside-expired", tea).code)
	assert.NotZero(t, s.refused("gateway", "expired"))
	s.order("reviews", `{}`)
	eventually(t, func() bool { return len(s.missing()) == 0 }, 10*time.Second, "reviews are back")
}

// testRotationD39: who has loaded its certificate once is refused when that has
// expired.
func (s *shop) testRotationD39(t *testing.T) {
	s.end("reviews", syscall.SIGTERM)
	s.start("reviews", "D39")
	s.waitReady("reviews")
	eventually(t, func() bool { return len(s.missing()) > 0 }, 3*certLife, "reviews are refused")
	s.end("reviews", syscall.SIGTERM)
	s.start("reviews", "")
	s.waitReady("reviews")
	eventually(t, func() bool { return len(s.missing()) == 0 }, 10*time.Second, "reviews are back")
}
