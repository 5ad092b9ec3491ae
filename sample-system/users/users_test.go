package users

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Main(m)) }

// start runs users on the database of h, without a bus: it must do without.
func start(t *testing.T, h *service.Host) string {
	env := storetest.Env(h)
	env["NATS_URL"] = "127.0.0.1:1"
	env["SHOP_TOKEN_TTL"] = "90s"
	return servicetest.Start(t, Setup, env)
}

func signIn(t *testing.T, url, body string) (int, Session) {
	code, answer := servicetest.Post(t, url+"/signin", "", body)
	var s Session
	_ = json.Unmarshal([]byte(answer), &s) // a problem document leaves it empty
	return code, s
}

// publishedKey is the one key of the JWKS.
func publishedKey(t *testing.T, url string) (ed25519.PublicKey, jwk) {
	var set struct{ Keys []jwk }
	code, body := servicetest.Get(t, url+"/.well-known/jwks.json")
	require.Equal(t, 200, code)
	require.NoError(t, json.Unmarshal([]byte(body), &set))
	require.Len(t, set.Keys, 1)
	x, err := base64.RawURLEncoding.DecodeString(set.Keys[0].X)
	require.NoError(t, err)
	return x, set.Keys[0]
}

func TestSignIn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := start(t, h)
		for name, tt := range map[string]struct {
			body string
			code int
		}{
			"ada":            {`{"user":"ada","password":"squall"}`, 200},
			"any customer":   {`{"user":"customer-4711","password":"squall"}`, 200},
			"wrong password": {`{"user":"ada","password":"storm"}`, 401},
			"nobody":         {`{"user":"eve","password":"squall"}`, 401},
			"the pattern":    {`{"user":"customer-","password":"squall"}`, 401},
			"no password":    {`{"user":"ada"}`, 422},
			"too long":       {`{"user":"ada","password":"` + strings.Repeat("x", 73) + `"}`, 422},
			"no json":        {`ada`, 400},
		} {
			t.Run(name, func(t *testing.T) {
				code, _ := signIn(t, url, tt.body)
				assert.Equal(t, tt.code, code)
			})
		}
		_, s := signIn(t, url, `{"user":"ada","password":"squall"}`)
		assert.Equal(t, 90, s.ExpiresIn)
		key, published := publishedKey(t, url)
		claims := jwt.RegisteredClaims{}
		token, err := jwt.ParseWithClaims(s.Token, &claims, func(*jwt.Token) (any, error) { return key, nil },
			jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired())
		require.NoError(t, err)
		assert.Equal(t, published.ID, token.Header["kid"])
		assert.Equal(t, "ada", claims.Subject)
		assert.WithinDuration(t, time.Now().Add(90*time.Second), claims.ExpiresAt.Time, 5*time.Second)
	})
}

func TestUnknownUserCostsAComparison(t *testing.T) {
	cost, err := bcrypt.Cost(noHash)
	require.NoError(t, err)
	assert.Equal(t, hashCost, cost)
	assert.ErrorIs(t, bcrypt.CompareHashAndPassword(noHash, []byte(seedPassword)), bcrypt.ErrMismatchedHashAndPassword)
}

func TestKeySurvivesRestart(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		one, _ := publishedKey(t, start(t, h))
		two, _ := publishedKey(t, start(t, h))
		assert.Equal(t, one, two, "two instances sign with one key")
	})
}

func TestTokenTTL(t *testing.T) {
	for s, want := range map[string]time.Duration{"": defaultTTL, "2m": 2 * time.Minute, "0s": 0, "soon": 0} {
		got, err := tokenTTL(s)
		assert.Equal(t, want, got, s)
		assert.Equal(t, want == 0, err != nil, s)
	}
}

// TestProfileVersions: states may arrive in any order, and more than once.
func TestProfileVersions(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		url := start(t, h)
		for _, step := range []struct {
			body    string
			name    string // what is stored then
			version int64
		}{
			{`{"name":"first","address":"a","version":0}`, "first", 0},
			{`{"name":"third","address":"a","version":3}`, "third", 3},
			{`{"name":"second","address":"a","version":2}`, "third", 3},
			{`{"name":"third","address":"a","version":3}`, "third", 3},
			{`{"name":"repaired","address":"a","version":3}`, "repaired", 3},
			{`{"name":"next","address":"a"}`, "next", 4},
		} {
			code, got := put(t, url+"/profiles/ada", step.body)
			require.Equal(t, 200, code)
			assert.Equal(t, Profile{"ada", step.name, "a", step.version}, got, step.body)
		}
		code, body := servicetest.Get(t, url+"/profiles?customers=ada,nobody")
		assert.Equal(t, 200, code)
		assert.JSONEq(t, `{"profiles":[{"customer":"ada","name":"next","address":"a","version":4}]}`, body)
		assert.Equal(t, []int{1}, servicetest.Effects(t, url+"/audit/profiles", "ada"))
	})
}

func TestProfileRefusals(t *testing.T) {
	url := start(t, servicetest.Host(t))
	for body, want := range map[string]int{"x": 400, `{"name":""}`: 422, `{"name":"a","version":-1}`: 422, `{"name":"a","age":1}`: 400} {
		code, _ := put(t, url+"/profiles/ada", body)
		assert.Equal(t, want, code, body)
	}
	for path, want := range map[string]int{"/profiles/nobody": 404, "/profiles": 400, "/profiles?customers=" + strings.Repeat("a,", 50) + "a": 400} {
		code, _ := servicetest.Get(t, url+path)
		assert.Equal(t, want, code, path)
	}
}

func put(t *testing.T, url, body string) (int, Profile) {
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	var p Profile
	_ = json.NewDecoder(resp.Body).Decode(&p) // a problem document leaves it empty
	return resp.StatusCode, p
}

func FuzzDecodeCredentials(f *testing.F) {
	f.Add([]byte(`{"user":"ada","password":"squall"}`))
	f.Add([]byte(`{"user":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCredentials(bytes.NewReader(data))
		if err == nil && (!service.ValidID(c.User) || c.Password == "" || len(c.Password) > 72) {
			t.Fatalf("accepted %q as %+v", data, c)
		}
	})
}

func FuzzDecodeChange(f *testing.F) {
	f.Add([]byte(`{"name":"Ada","address":"x","version":1}`))
	f.Add([]byte(`{"name":"Ada","version":1e3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeChange(bytes.NewReader(data))
		if err == nil && (c.Name == "" || c.Version != nil && *c.Version < 0) {
			t.Fatalf("accepted %q as %+v", data, c)
		}
	})
}
