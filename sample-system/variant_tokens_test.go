//go:build e2e

package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// purse holds ada's token, and signs in again before it expires.
type purse struct {
	s *shop

	mu    sync.Mutex
	held  string
	until time.Time
}

func (p *purse) token() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Now().After(p.until) {
		p.until = time.Now().Add(tokenLife / 2)
		p.held = p.s.signIn()
	}
	return p.held
}

func (s *shop) signIn() string {
	var session struct{ Token string }
	assert.Equal(s.t, 200, ask(s.t, http.MethodPost, "http://"+s.addr["gateway.http"]+"/signin", `{"user":"ada","password":"squall"}`, &session))
	return session.Token
}

// profileWith asks for the profile with a token, without one if empty.
func (s *shop) profileWith(token string) int {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.addr["gateway.http"]+"/profile", http.NoBody)
	require.NoError(s.t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		assert.NotEmpty(s.t, resp.Header.Get("WWW-Authenticate"))
	}
	return resp.StatusCode
}

func (s *shop) testTokens(t *testing.T, p *purse) {
	good := s.signIn()
	assert.Equal(t, 200, s.profileWith(good))
	assert.Equal(t, 401, s.profileWith(""), "none")
	assert.Equal(t, 401, s.profileWith("rubbish"))
	for name, forged := range forgeries(t, good) {
		assert.Equal(t, 401, s.profileWith(forged), name)
	}
	eventually(t, func() bool { return s.profileWith(good) == 401 }, tokenLife+3*time.Second, "it expires")
	assert.Equal(t, 200, s.profileWith(p.token()), "a new one is good")
	assert.Equal(t, 401, ask(t, http.MethodPost, "http://"+s.addr["gateway.http"]+"/signin", `{"user":"ada","password":"wrong"}`, nil))
}

// forgeries are tokens that say what a good one says.
func forgeries(t *testing.T, good string) map[string]string {
	token, _, err := jwt.NewParser().ParseUnverified(good, &jwt.RegisteredClaims{})
	require.NoError(t, err)
	claims := token.Claims.(*jwt.RegisteredClaims)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	sign := func(method jwt.SigningMethod, key any, kid any) string {
		forged := jwt.NewWithClaims(method, claims)
		forged.Header["kid"] = kid
		text, err := forged.SignedString(key)
		require.NoError(t, err)
		return text
	}
	parts := strings.Split(good, ".")
	claims.Subject = "bob"
	other := strings.Split(sign(jwt.SigningMethodEdDSA, private, token.Header["kid"]), ".")
	return map[string]string{
		"signed by another key":       strings.Join(other, "."),
		"with a key nobody knows":     sign(jwt.SigningMethodEdDSA, private, "mine"),
		"not signed at all":           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, token.Header["kid"]),
		"signed by another method":    sign(jwt.SigningMethodHS256, []byte(public), token.Header["kid"]),
		"with another's name put in":  parts[0] + "." + other[1] + "." + parts[2],
		"without the signature":       parts[0] + "." + parts[1] + ".",
		"without all but a signature": ".." + parts[2],
	}
}

func (s *shop) testTokensD40(t *testing.T, p *purse) {
	old := p.token()
	s.end("gateway", syscall.SIGTERM)
	s.start("gateway", "D40")
	s.waitReady("gateway")
	claims := &jwt.RegisteredClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(old, claims)
	require.NoError(t, err)
	eventually(t, func() bool { return time.Since(claims.ExpiresAt.Time) > time.Second }, 2*tokenLife+time.Second, "it expires")
	eventually(t, func() bool { return s.profileWith(old) == 200 }, 5*time.Second, "and nobody looks")
}
