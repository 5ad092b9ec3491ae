// Passwords.
//
// Answers: a stolen database. Passwords are stored as bcrypt hashes. An unknown
// name costs as much time as a wrong password, and gets the same answer.
// Numbers: bcrypt's lowest cost, 4, about 1 ms: this shop is there to be loaded
// on two cores. A real one takes at least 10, and 60 times as long.
// Costs: 1 ms of CPU for each sign-in.
// Breaks without it: TestSignIn. No off switch.

package users

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	"golang.org/x/crypto/bcrypt"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/store"
)

const (
	accountsSchema = `CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, hash TEXT NOT NULL);`

	hashCost     = bcrypt.MinCost
	seedPassword = "squall"
	anyCustomer  = "customer-*" // the account of all customer-N
)

var customerN = regexp.MustCompile(`^customer-[0-9]{1,9}$`)

type accounts struct {
	db     *store.DB
	tokens *tokens
}

// Credentials are what a customer signs in with.
type Credentials struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Session is the answer to a sign-in.
type Session struct {
	Token     string `json:"token"`
	ExpiresIn int    `json:"expires_in"` // seconds
}

// decodeCredentials reads and checks a sign-in; its errors are Problems or from the reader.
func decodeCredentials(r io.Reader) (Credentials, error) {
	var c Credentials
	if err := service.DecodeJSON(r, &c); err != nil {
		return Credentials{}, err
	}
	if !service.ValidID(c.User) || c.Password == "" || len(c.Password) > 72 { // more than 72 bytes bcrypt does not take
		return Credentials{}, service.Invalid("want a user, and a password of 1 to 72 bytes")
	}
	return c, nil
}

// seed makes the accounts the shop comes with, all with the same hash.
func (a *accounts) seed(ctx context.Context) error {
	hash, err := bcrypt.GenerateFromPassword([]byte(seedPassword), hashCost)
	if err != nil {
		return fmt.Errorf("seed accounts: %w", err)
	}
	for _, name := range []string{"ada", "bob", anyCustomer} {
		_, err := a.db.Exec(ctx, `INSERT INTO accounts (name, hash) VALUES (?, ?) ON CONFLICT DO NOTHING`, name, string(hash))
		if err != nil {
			return fmt.Errorf("seed accounts: %w", err)
		}
	}
	return nil
}

func (a *accounts) handleSignIn(w http.ResponseWriter, r *http.Request) error {
	c, err := decodeCredentials(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	ok, err := a.verify(r.Context(), c)
	switch {
	case err != nil:
		return err
	case !ok:
		w.Header().Set("WWW-Authenticate", `Bearer realm="shop"`)
		return service.Problem{Status: http.StatusUnauthorized, Title: "not signed in", Detail: "wrong user or password"}
	}
	token, err := a.tokens.sign(c.User, time.Now())
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	return service.WriteJSON(w, http.StatusOK, Session{Token: token, ExpiresIn: int(a.tokens.ttl.Seconds())})
}

// noHash is compared with when there is no account: no password matches it.
var noHash = []byte("$2a$04$00000000000000000000000000000000000000000000000000000")

func (a *accounts) verify(ctx context.Context, c Credentials) (bool, error) {
	name := c.User
	if customerN.MatchString(name) {
		name = anyCustomer
	}
	hash := noHash
	err := a.db.QueryRow(ctx, `SELECT hash FROM accounts WHERE name = ?`, name).Scan(&hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("read account: %w", err)
	}
	return bcrypt.CompareHashAndPassword(hash, []byte(c.Password)) == nil, nil
}
