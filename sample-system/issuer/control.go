package issuer

import (
	"crypto/x509"
	"net/http"
	"slices"
	"time"

	"squall/sample-system/internal/audit"
	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/service"
)

// maxBook bounds the book: at the shortest life it covers two minutes, at the
// default a week.
const maxBook = 1000

// book is what was issued lately, oldest first. It is not kept over a restart:
// it shows what happened, nothing is decided by it.
type book []audit.Row

func (b *book) add(name, as string, cert *x509.Certificate) {
	if len(*b) == maxBook {
		*b = slices.Delete(*b, 0, 1)
	}
	*b = append(*b, audit.Row{
		Key: name, ID: cert.SerialNumber.Text(16), Effect: 1, State: "issued", At: time.Now().UnixNano(),
		Attrs: map[string]string{"identity": identity.ID(as).String(), "not_after": cert.NotAfter.UTC().Format(time.RFC3339)},
	})
}

// handleAudit shows the book.
func (r *renewer) handleAudit(w http.ResponseWriter, _ *http.Request) error {
	r.mu.Lock()
	rows := append(book{}, r.book...)
	r.mu.Unlock()
	return service.WriteJSON(w, http.StatusOK, rows)
}

// order is a certificate out of turn: a wrong or an expiring one plays the
// mistake of an operator, and is there to show that the shop refuses it.
type order struct {
	As    string `json:"as"`     // whose name it bears; empty: the service's own
	TTLMs int64  `json:"ttl_ms"` // its life in milliseconds; 0: the usual
	Hold  bool   `json:"hold"`   // it is not renewed, until the next order
}

// handleIssue follows an order.
func (r *renewer) handleIssue(w http.ResponseWriter, req *http.Request) error {
	name := req.PathValue("service")
	if !slices.Contains(identity.Services(), name) {
		return service.Problem{Status: http.StatusNotFound, Title: "not found", Detail: "no service " + name}
	}
	var o order
	if err := service.ReadJSON(w, req, &o); err != nil {
		return err
	}
	as, ttl := name, r.ttl
	if o.As != "" {
		as = o.As
	}
	if o.TTLMs != 0 {
		ttl = time.Duration(o.TTLMs) * time.Millisecond
	}
	if !slices.Contains(identity.Services(), as) || ttl < time.Second || ttl > r.ttl {
		return service.Invalid("want as: a service, ttl_ms: 1000 to the usual life")
	}
	if err := r.follow(name, as, ttl, o.Hold); err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusCreated, map[string]string{"service": name, "identity": identity.ID(as).String()})
}

func (r *renewer) follow(name, as string, ttl time.Duration, hold bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.issue(name, as, ttl); err != nil {
		return err
	}
	r.held[name] = hold
	select {
	case r.changed <- struct{}{}:
	default: // somebody has said so already
	}
	return nil
}
