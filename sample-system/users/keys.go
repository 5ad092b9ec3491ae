// Signing key.
//
// Answers: tokens that outlive the process that signed them, and several
// instances that must accept each other's. The key is made once, kept in the
// database, and published as a JSON Web Key Set; who checks a token needs no
// secret and no call to users for it.
// Numbers: Ed25519, 32 bytes, signed in 30 µs. The key's id is the start of the
// public key's SHA-256.
// Costs: whoever reads the database can sign; a shop with more to lose keeps the
// key in an HSM.
// Breaks without it: TestKeySurvivesRestart. No off switch.

package users

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const keysSchema = `CREATE TABLE IF NOT EXISTS signing_keys (use TEXT PRIMARY KEY, seed TEXT NOT NULL);`

type signingKey struct {
	id      string
	private ed25519.PrivateKey
}

// loadKey reads the key, and makes it if there is none. Of two instances that
// make one at the same time the first wins; both read it back.
func loadKey(ctx context.Context, db *store.DB) (*signingKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails since Go 1.24
	_, err := db.Exec(ctx, `INSERT INTO signing_keys (use, seed) VALUES ('tokens', ?) ON CONFLICT DO NOTHING`, hex.EncodeToString(seed))
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	var text string
	if err := db.QueryRow(ctx, `SELECT seed FROM signing_keys WHERE use = 'tokens'`).Scan(&text); err != nil {
		return nil, fmt.Errorf("load signing key: %w", err)
	}
	if seed, err = hex.DecodeString(text); err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("load signing key: the database holds no Ed25519 seed")
	}
	private := ed25519.NewKeyFromSeed(seed)
	sum := sha256.Sum256(private.Public().(ed25519.PublicKey))
	return &signingKey{id: hex.EncodeToString(sum[:8]), private: private}, nil
}

// jwk is a public key as of RFC 8037.
type jwk struct {
	Type  string `json:"kty"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	ID    string `json:"kid"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
}

func (k *signingKey) handleJWKS(w http.ResponseWriter, _ *http.Request) error {
	return service.WriteJSON(w, http.StatusOK, map[string][]jwk{"keys": {{
		Type: "OKP", Curve: "Ed25519", ID: k.id, Use: "sig", Alg: "EdDSA",
		X: base64.RawURLEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey)),
	}}})
}
