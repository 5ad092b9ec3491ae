// Who is asking.
//
// Answers: requests in somebody else's name. With SHOP_IDENTITY=on a request for
// a customer's things needs a token that users has signed: right key, issuer,
// audience, and not expired. Without, there is no identity at all, and the
// customer is who the request says.
// Numbers: the keys are asked for again after 5 s, and used for up to an hour
// while users is away, as long as any token may live. Clocks may differ by 1 s.
// Costs: 60 µs for checking a signature; a token that was taken from a customer
// works until it expires.
// Breaks without it: scenario tokens, TestTokens. Off switch:
// D40, does not look at the expiry.

package gateway

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

const (
	issuer   = "shop-users"
	audience = "shop"

	keysFresh   = 5 * time.Second
	keysStale   = time.Hour
	clockLeeway = time.Second
	forever     = 100 * 365 * 24 * time.Hour
)

// keySet are public keys by their id.
type keySet map[string]ed25519.PublicKey

// tokens checks tokens; nil when identity is off.
type tokens struct {
	users  *upstream
	keys   *policy.Cache[keySet]
	parser *jwt.Parser
}

func newTokens(h *service.Host, users *upstream) *tokens {
	if h.Getenv("SHOP_IDENTITY") != "on" {
		return nil
	}
	leeway := clockLeeway
	if h.Defects.Has(defect.ExpiredTokenPasses) {
		leeway = forever
	}
	return &tokens{
		users: users,
		keys:  policy.NewCache[keySet](h, "jwks", keysFresh, keysStale),
		parser: jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
			jwt.WithExpirationRequired(), jwt.WithLeeway(leeway)),
	}
}

// customer is whose token the request carries; "" when identity is off. Its
// errors are Problems.
func (t *tokens) customer(r *http.Request) (string, error) {
	if t == nil {
		return "", nil
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") || token == "" {
		return "", unauthorized("no bearer token")
	}
	keys, _, _, err := t.keys.Get(r.Context(), "keys", t.load)
	if err != nil {
		return "", service.Problem{Status: http.StatusServiceUnavailable, Title: "tokens cannot be checked", Detail: "users does not answer"}.NotExecuted()
	}
	var claims jwt.RegisteredClaims
	_, err = t.parser.ParseWithClaims(token, &claims, func(token *jwt.Token) (any, error) {
		id, _ := token.Header["kid"].(string)
		if key := keys[id]; key != nil {
			return key, nil
		}
		return nil, errors.New("unknown key")
	})
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "", unauthorized("the token has expired")
	case err != nil || !service.ValidID(claims.Subject):
		return "", unauthorized("the token is not valid")
	}
	return claims.Subject, nil
}

func unauthorized(detail string) service.Problem {
	return service.Problem{Status: http.StatusUnauthorized, Title: "sign in first", Detail: detail}.NotExecuted()
}

func (t *tokens) load(ctx context.Context) (keySet, error) {
	reply, err := t.users.get(ctx, "/.well-known/jwks.json")
	if err != nil {
		return nil, err
	}
	if reply.Status != http.StatusOK {
		return nil, fmt.Errorf("load keys: status %d", reply.Status)
	}
	return decodeKeys(reply.Body)
}

// decodeKeys reads a JSON Web Key Set; keys of other kinds are left out.
func decodeKeys(body []byte) (keySet, error) {
	var set struct {
		Keys []struct {
			Type  string `json:"kty"`
			Curve string `json:"crv"`
			X     string `json:"x"`
			ID    string `json:"kid"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("decode keys: %w", err)
	}
	keys := keySet{}
	for _, k := range set.Keys {
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if k.Type == "OKP" && k.Curve == "Ed25519" && err == nil && len(x) == ed25519.PublicKeySize {
			keys[k.ID] = x
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("decode keys: no Ed25519 key")
	}
	return keys, nil
}
