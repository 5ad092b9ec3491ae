// Tokens.
//
// Answers: a stolen token. It cannot be taken back, as nobody asks users about
// it, so it must end soon by itself.
// Numbers: 15 minutes by default, the usual span for an access token.
// Costs: a customer signs in again after that.
// Breaks without it: TestTokenTTL; the check is the gateway's
// (gateway/jwt.go). No off switch here.

package users

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuer   = "shop-users"
	audience = "shop"

	defaultTTL = 15 * time.Minute
)

func tokenTTL(s string) (time.Duration, error) {
	if s == "" {
		return defaultTTL, nil
	}
	ttl, err := time.ParseDuration(s)
	if err != nil || ttl < time.Second {
		return 0, fmt.Errorf("configure users: SHOP_TOKEN_TTL is %q, want a duration of at least 1s", s)
	}
	return ttl, nil
}

type tokens struct {
	key *signingKey
	ttl time.Duration
}

// sign makes the token of a customer.
func (t *tokens) sign(customer string, now time.Time) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: customer,
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(t.ttl)),
	})
	token.Header["kid"] = t.key.id
	signed, err := token.SignedString(t.key.private)
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}
