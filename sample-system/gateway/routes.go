package gateway

import (
	"context"
	"io"
	"net/http"

	"squall/sample-system/internal/service"
)

// api is what the gateway serves to clients.
type api struct {
	tokens  *tokens
	rates   *rateLimit
	pages   *pages
	shop    *shop
	session *session
	profile *strangler
}

// routes registers the table of routes.
func (a *api) routes(h *service.Host) {
	const anybody, customer = false, true
	for _, route := range []struct {
		pattern string
		who     bool // with identity on: only for customers who are signed in
		serve   service.Handler
	}{
		{"POST /signin", anybody, a.session.handleSignIn},
		{"GET /products", anybody, a.pages.handleList},
		{"GET /products/{sku}", anybody, a.pages.handlePage},
		{"POST /checkout", customer, a.shop.handleCheckout},
		{"GET /orders/{id}", customer, a.shop.handleOrder},
		{"POST /orders/{id}/cancel", customer, a.shop.handleCancel},
		{"GET /customers/{customer}/orders", customer, a.shop.handleHistory},
		{"GET /profile", customer, a.profile.handleGet},
		{"PUT /profile", customer, a.profile.handlePut},
	} {
		h.Handle(route.pattern, a.front(route.who, route.serve))
	}
}

// front is what every request passes: who is it, does it ask too often, may it.
// The limit comes before the refusal, so that a flood of bad tokens meets it too.
func (a *api) front(signedIn bool, serve service.Handler) service.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		customer, unknown := a.tokens.customer(r)
		if err := a.rates.admit(w, r, customer); err != nil {
			return err
		}
		if signedIn && unknown != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="shop"`)
			return unknown
		}
		return serve(w, r.WithContext(context.WithValue(r.Context(), customerKey{}, customer)))
	}
}

type customerKey struct{}

// customerOf is who is signed in; "" when identity is off.
func customerOf(ctx context.Context) string {
	c, _ := ctx.Value(customerKey{}).(string)
	return c
}

// act is the customer that a request acts for: who is signed in, or with
// identity off whom it names.
func act(r *http.Request, named string) (string, error) {
	me := customerOf(r.Context())
	switch {
	case me != "" && named != "" && named != me:
		return "", forbidden("signed in as " + me)
	case me != "":
		return me, nil
	case !service.ValidID(named):
		return "", service.Invalid("customer: want letters, digits and ._:-")
	}
	return named, nil
}

func forbidden(detail string) service.Problem {
	return service.Problem{Status: http.StatusForbidden, Title: "not allowed", Detail: detail}.NotExecuted()
}

// session passes sign-ins on to users.
type session struct {
	users     *upstream
	integrity integrity
}

// Credentials are what a customer signs in with.
type Credentials struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// decodeCredentials reads a sign-in; users has the say on what is in it.
func decodeCredentials(r io.Reader) (Credentials, error) {
	var c Credentials
	err := service.DecodeJSON(r, &c)
	return c, err
}

func (s *session) handleSignIn(w http.ResponseWriter, r *http.Request) error {
	c, err := decodeCredentials(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	reply, err := s.users.do(r.Context(), http.MethodPost, "/signin", "", c)
	if err != nil {
		return failure(w, "users", err)
	}
	return s.integrity.pass(w, "users", reply)
}
