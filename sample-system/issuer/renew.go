// Renewal.
//
// Answers: certificates that expire within the hour, so that a stolen one is
// worth little and nobody has to be able to revoke. Each is replaced after two
// thirds of its life; services notice by themselves (identity/rotate.go).
// Numbers: a life is SHOP_CERT_TTL, 1 h by default, at least 2 s since
// certificates know no fractions of a second. A failure is tried again after
// 1 s: the last third is for that.
// Costs: when the issuer is away for longer than a third of a life, the shop
// stands still. The alert CertificateAboutToExpire is for that.
// Breaks without it: TestRenewal. Off switch:
// none here; D39 is at the reading side.

package issuer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/service"
)

const (
	minTTL     = 2 * time.Second
	retryAfter = time.Second
)

type renewer struct {
	ca      *authority
	dir     string
	ttl     time.Duration
	log     *slog.Logger
	results *prometheus.CounterVec
	changed chan struct{} // an order of handleIssue changed what is due

	mu     sync.Mutex
	held   map[string]bool              // not renewed, by order
	issued map[string]*x509.Certificate // the certificate of a service now
	book   book
}

func newRenewer(h *service.Host, ca *authority, dir string, ttl time.Duration) *renewer {
	return &renewer{
		ca: ca, dir: dir, ttl: ttl, log: h.Logger,
		results: h.Counter("issuer_certificates_total", "Certificates issued, or not, by result.", "result"),
		changed: make(chan struct{}, 1),
		held:    map[string]bool{}, issued: map[string]*x509.Certificate{},
	}
}

// start publishes the authority and takes up the certificates that are there.
func (r *renewer) start() error {
	if err := replace(filepath.Join(r.dir, "ca.pem"), r.ca.pem); err != nil {
		return fmt.Errorf("publish authority: %w", err)
	}
	for _, name := range identity.Services() {
		if cert := r.onDisk(name); cert != nil {
			r.issued[name] = cert
		}
	}
	r.renewDue()
	return nil
}

// onDisk is the certificate a service has; nil if it is not one of ours for it.
func (r *renewer) onDisk(name string) *x509.Certificate {
	pair, err := tls.LoadX509KeyPair(r.path(name, ".pem"), r.path(name, ".key"))
	if err != nil || pair.Leaf.CheckSignatureFrom(r.ca.cert) != nil || identity.NameOf(pair.Leaf) != name {
		return nil
	}
	return pair.Leaf
}

// run renews until ctx ends.
func (r *renewer) run(ctx context.Context) error {
	for {
		timer := time.NewTimer(r.renewDue())
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-r.changed:
			timer.Stop()
		}
	}
}

// renewDue renews what is due, and says how long there is nothing more to do.
func (r *renewer) renewDue() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait := r.ttl
	for _, name := range identity.Services() {
		if r.held[name] {
			continue
		}
		if cert := r.issued[name]; cert != nil && time.Now().Before(identity.RenewAt(cert)) {
			wait = min(wait, time.Until(identity.RenewAt(cert)))
			continue
		}
		if err := r.issue(name, name, r.ttl); err != nil {
			r.log.Error("certificate not renewed", "for", name, "error", err)
			wait = min(wait, retryAfter)
			continue
		}
		wait = min(wait, time.Until(identity.RenewAt(r.issued[name])))
	}
	return max(wait, 10*time.Millisecond)
}

// issue puts a certificate that says "as" in the place of that of a service.
// The key goes first: a reader that sees the new key with the old certificate
// waits for the pair to fit.
func (r *renewer) issue(name, as string, ttl time.Duration) error {
	cert, key, err := r.ca.issue(as, ttl)
	if err == nil {
		err = replace(r.path(name, ".key"), key)
	}
	if err == nil {
		err = replace(r.path(name, ".pem"), pemCert(cert.Raw))
	}
	if err != nil {
		r.results.WithLabelValues("failed").Inc()
		return fmt.Errorf("issue for %s: %w", name, err)
	}
	r.results.WithLabelValues("issued").Inc()
	r.issued[name] = cert
	r.book.add(name, as, cert)
	return nil
}

func (r *renewer) path(name, suffix string) string { return filepath.Join(r.dir, name+suffix) }

// ready is an error while a service has no valid certificate that it should
// have.
func (r *renewer) ready(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range identity.Services() {
		if cert := r.issued[name]; !r.held[name] && (cert == nil || time.Now().After(cert.NotAfter)) {
			return fmt.Errorf("%s has no valid certificate", name)
		}
	}
	return nil
}
