package gateway

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/users"
)

// demanding runs a gateway whose routes want tokens signed by the users at url.
// Calls between services stay plain: certificates are another matter.
func demanding(t *testing.T, usersURL string, defects ...string) string {
	return "http://" + servicetest.StartHost(t, func(_ context.Context, h *service.Host) error {
		u, err := newUpstream(h, nil, newDeploys(h, busOf(t, h)), "users", profilePolicy)
		require.NoError(t, err)
		plain := h.Getenv
		h.Getenv = func(name string) string {
			if name == "SHOP_IDENTITY" {
				return "on"
			}
			return plain(name)
		}
		rates, err := newRateLimit(h)
		require.NoError(t, err)
		a := &api{tokens: newTokens(h, u), rates: rates}
		for _, who := range []bool{true, false} {
			h.Handle(fmt.Sprintf("GET /%t", who), a.front(who, func(w http.ResponseWriter, r *http.Request) error {
				me, err := act(r, r.URL.Query().Get("customer"))
				if err != nil {
					return err
				}
				_, err = io.WriteString(w, me)
				return err
			}))
		}
		return nil
	}, config(t, behind(t, map[string]string{"USERS_URL": usersURL}), defects...)).Addr()
}

// signer is a users service of which the test has the key.
type signer struct {
	key ed25519.PrivateKey
	*fake
}

func newSigner(t *testing.T) *signer {
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	return &signer{private, newFake(t, says(200, fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}]}`,
		base64.RawURLEncoding.EncodeToString(public))))}
}

// token is a good one but for what change does to it.
func (s *signer) token(t *testing.T, change func(*jwt.RegisteredClaims, *jwt.Token)) string {
	claims := &jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: "ada", ExpiresAt: jwt.NewNumericDate(time.Now().Add(time.Minute)),
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims)
	token.Header["kid"] = "k1"
	change(claims, token)
	signed, err := token.SignedString(s.key)
	require.NoError(t, err)
	return signed
}

func TestTokens(t *testing.T) {
	s, forger := newSigner(t), newSigner(t)
	url, careless := demanding(t, s.URL), demanding(t, s.URL, "D40")
	good := s.token(t, func(*jwt.RegisteredClaims, *jwt.Token) {})
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.RegisteredClaims{Subject: "ada"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	require.NoError(t, err)
	expired := s.token(t, func(c *jwt.RegisteredClaims, _ *jwt.Token) {
		c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(-time.Minute))
	})
	for name, tt := range map[string]struct {
		header string
		code   int
		d40    int // with the expiry not checked
	}{
		"good":          {"Bearer " + good, 200, 200},
		"lower case":    {"bearer " + good, 200, 200},
		"none":          {"", 401, 401},
		"other scheme":  {"Basic " + good, 401, 401},
		"no token":      {"Bearer x.y.z", 401, 401},
		"unsigned":      {"Bearer " + unsigned, 401, 401},
		"forged":        {"Bearer " + forger.token(t, func(*jwt.RegisteredClaims, *jwt.Token) {}), 401, 401},
		"expired":       {"Bearer " + expired, 401, 200},
		"no expiry":     {"Bearer " + s.token(t, func(c *jwt.RegisteredClaims, _ *jwt.Token) { c.ExpiresAt = nil }), 401, 401},
		"other issuer":  {"Bearer " + s.token(t, func(c *jwt.RegisteredClaims, _ *jwt.Token) { c.Issuer = "eve" }), 401, 401},
		"other use":     {"Bearer " + s.token(t, func(c *jwt.RegisteredClaims, _ *jwt.Token) { c.Audience = jwt.ClaimStrings{"bank"} }), 401, 401},
		"nobody's":      {"Bearer " + s.token(t, func(c *jwt.RegisteredClaims, _ *jwt.Token) { c.Subject = "" }), 401, 401},
		"unknown key":   {"Bearer " + s.token(t, func(_ *jwt.RegisteredClaims, tk *jwt.Token) { tk.Header["kid"] = "k2" }), 401, 401},
		"key no string": {"Bearer " + s.token(t, func(_ *jwt.RegisteredClaims, tk *jwt.Token) { tk.Header["kid"] = 1 }), 401, 401},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, "GET", url+"/true", "", "Authorization", tt.header)
			assert.Equal(t, tt.code, a.code, a.body)
			if tt.code == 401 {
				assert.Equal(t, `Bearer realm="shop"`, a.header.Get("WWW-Authenticate"))
			} else {
				assert.Equal(t, "ada", a.body)
			}
			assert.Equal(t, tt.d40, ask(t, "GET", careless+"/true", "", "Authorization", tt.header).code)
		})
	}
	assert.Equal(t, 403, ask(t, "GET", url+"/true?customer=bob", "", "Authorization", "Bearer "+good).code, "in another's name")
	assert.Equal(t, 200, ask(t, "GET", url+"/false?customer=bob", "").code, "a route for anybody")
}

// TestKeysOutliveUsers: tokens are checked while users is down, as long as its
// keys have been seen.
func TestKeysOutliveUsers(t *testing.T) {
	s := newSigner(t)
	token := "Bearer " + s.token(t, func(*jwt.RegisteredClaims, *jwt.Token) {})
	seen, unseen := demanding(t, s.URL), demanding(t, s.URL)
	require.Equal(t, 200, ask(t, "GET", seen+"/true", "", "Authorization", token).code)
	s.answer(says(503, `{}`))
	assert.Equal(t, 200, ask(t, "GET", seen+"/true", "", "Authorization", token).code)
	assert.Equal(t, 503, ask(t, "GET", unseen+"/true", "", "Authorization", token).code, "not the customer's fault")
}

// TestTokensOfUsers: what the real users signs, the gateway accepts.
func TestTokensOfUsers(t *testing.T) {
	t.Parallel()
	real := servicetest.Start(t, users.Setup, map[string]string{"NATS_URL": "127.0.0.1:1"})
	front := start(t, behind(t, map[string]string{"USERS_URL": real}))
	a := ask(t, "POST", front+"/signin", `{"user":"customer-7","password":"squall"}`)
	require.Equal(t, 200, a.code, a.body)
	var s users.Session
	a.decode(t, &s)
	assert.Equal(t, "customer-7", ask(t, "GET", demanding(t, real)+"/true", "", "Authorization", "Bearer "+s.Token).body)

	a = ask(t, "POST", front+"/signin", `{"user":"ada","password":"wrong"}`)
	assert.Equal(t, 401, a.code)
	assert.NotEmpty(t, a.header.Get("WWW-Authenticate"))
	assert.Equal(t, 400, ask(t, "POST", front+"/signin", `{"user":"ada","admin":true}`).code)
}

func FuzzDecodeKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := decodeKeys(data)
		if err == nil && len(keys) == 0 {
			t.Fatalf("accepted %q", data)
		}
		for _, k := range keys {
			if len(k) != ed25519.PublicKeySize {
				t.Fatalf("accepted %q", data)
			}
		}
	})
}

func FuzzToken(f *testing.F) {
	f.Add("Bearer a.b.c")
	f.Add("Bearer eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.e30.AA")
	tk := &tokens{parser: jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}))}
	key, _, err := ed25519.GenerateKey(nil)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, header string) {
		var claims jwt.RegisteredClaims
		_, err := tk.parser.ParseWithClaims(header, &claims, func(*jwt.Token) (any, error) { return key, nil })
		if err == nil {
			t.Fatalf("accepted %q", header)
		}
	})
}
