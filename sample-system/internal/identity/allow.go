// Who may call whom.
//
// Answers: a service that was broken into, or that was simply pointed at the
// wrong address, and now calls what is none of its business: reviews charging a
// card. Default deny: an edge that is not in the table does not exist.
// Numbers: the table, one line per callee, is the picture in the README.
// Costs: a map lookup per request; a new edge must be written here too. While
// the issuer is away in the last third of a certificate, a handshake per request.
// Breaks without it: scenario forbidden-edge, TestWhoMayCallWhom. Off switch:
// none; all of identity is off without SHOP_IDENTITY=on.

package identity

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"squall/sample-system/internal/service"
)

// Domain is the trust domain of the shop, the host part of its SPIFFE ids.
const Domain = "shop"

// callers are those who may call a service. An empty list: nobody calls it, but
// it has an identity, as a caller.
var callers = map[string][]string{
	"gateway":       {},
	"users":         {"gateway"},
	"catalog":       {"gateway", "orders"},
	"reviews":       {"gateway"},
	"inventory":     {"orders", "catalog"},
	"orders":        {"gateway"},
	"history":       {"gateway"},
	"payments":      {"orders"},
	"psp":           {"payments"},
	"shipping":      {"gateway"},
	"notifications": {},
	"legacy":        {"gateway"},
}

// ID is the SPIFFE id of a service: spiffe://shop/orders.
func ID(service string) *url.URL {
	return &url.URL{Scheme: "spiffe", Host: Domain, Path: "/" + service}
}

// Services are those that have an identity, in order.
func Services() []string {
	names := make([]string, 0, len(callers))
	for name := range callers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// allowed is asked before each request is served. It also ends connections
// whose certificate is in its last third, after this answer: by then there is a
// new one, and no connection should outlive the certificate it was opened with.
func (i *Identity) allowed(answer http.Header, r *http.Request) error {
	caller := "unknown"
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		leaf := r.TLS.PeerCertificates[0]
		caller = NameOf(leaf)
		if time.Now().After(RenewAt(leaf)) {
			answer.Set("Connection", "close")
		}
	}
	if !mayCall(caller, i.service) {
		err := i.refuse(caller, i.service, notAllowed, errors.New("not in the table of callers"))
		return service.Problem{Status: http.StatusForbidden, Title: "caller not allowed", Detail: err.Error()}.NotExecuted()
	}
	return nil
}

func mayCall(caller, callee string) bool { return slices.Contains(callers[callee], caller) }

func hasIdentity(service string) bool {
	_, ok := callers[service]
	return ok
}

// public is the service that people call, who have no certificate.
func public(service string) bool { return service == "gateway" }

// label bounds the values of a metric's label: a certificate that proves
// nothing may claim anything.
func label(caller string) string {
	if hasIdentity(caller) {
		return caller
	}
	return "unknown"
}
