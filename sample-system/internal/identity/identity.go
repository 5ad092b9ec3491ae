// Package identity gives each service a name that it can prove: mutual TLS
// between services, with short-lived certificates of SPIFFE's form
// (spiffe://shop/orders), and a table of who may call whom.
//
// Answers: a process that is not who it says, or that has no business with the
// callee, gets no further than the handshake or a 403.
//
// Numbers: TLS 1.3 only. Each connection is a full handshake, about half a
// millisecond on both sides together: session tickets are off, since one would
// outlive the certificate it was given for. Connections are kept, so handshakes
// are rare.
//
// Costs: that handshake, a few stat calls for it (rotate.go), and an issuer that
// must be alive once per certificate lifetime.
//
// Breaks without it: TestWhoMayCallWhom.
//
// Off switch: all of it is off unless SHOP_IDENTITY=on.
//
// Connections to NATS and PostgreSQL stay plain: they are bound to loopback
// here, and what this shows is identity between services.
package identity

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/service"
)

// Identity is the proven name of one process. A nil Identity is one that is
// switched off: no TLS, everybody may call.
type Identity struct {
	service string
	files   *files
	log     *slog.Logger
	refused *prometheus.CounterVec
}

// Of is the identity of a host, the same for all who ask. It is nil, without an
// error, unless SHOP_IDENTITY is "on".
func Of(h *service.Host) (*Identity, error) {
	if h.Getenv == nil || h.Getenv("SHOP_IDENTITY") != "on" {
		return nil, nil
	}
	dir := h.Getenv("SHOP_CERTS")
	if dir == "" {
		return nil, fmt.Errorf("configure %s: SHOP_CERTS is not set, want the folder of the issuer", h.Name)
	}
	return service.Shared(h, "identity", func() *Identity {
		i := &Identity{
			service: h.Service,
			files:   newFiles(dir, h),
			log:     h.Logger,
			refused: h.Counter("identity_refused_total", "Connections and requests refused for the identity of the other side.", "caller", "callee", "reason"),
		}
		for _, reason := range []string{noCertificate, expired, notTrusted, wrongService, notAllowed} {
			i.refused.WithLabelValues("unknown", h.Service, reason) // nobody was refused, and that can be seen
		}
		i.expiryMetrics(h)
		return i
	}), nil
}

// Protect builds a service that knows its callers, if identity is on: its
// business listener demands a certificate and asks the table (allow.go), and it
// is not ready without a certificate of its own. Public services stay open:
// their callers are people, who come with a token.
func Protect(setup service.Setup) service.Setup {
	return func(ctx context.Context, h *service.Host) error {
		id, err := Of(h)
		if err != nil {
			return err
		}
		if id.On() && hasIdentity(h.Service) {
			h.Check("identity", true, func(context.Context) error { return id.Ready() })
			if !public(h.Service) {
				h.TLS = id.ServerTLS()
				h.Before(id.allowed)
			}
		}
		return setup(ctx, h)
	}
}

// On reports whether identity is switched on.
func (i *Identity) On() bool { return i != nil }

// Ready is an error while there is no certificate, or only an expired one.
func (i *Identity) Ready() error {
	if i == nil {
		return nil
	}
	_, err := i.files.current()
	return err
}

// ServerTLS is the configuration of a listener that demands a certificate of
// its callers; nil when identity is off.
func (i *Identity) ServerTLS() *tls.Config {
	if i == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"http/1.1"},
		SessionTicketsDisabled: true,
		ClientAuth:             tls.RequestClientCert, // demanded by verifyCaller, which says why not
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.present() },
		VerifyConnection:       i.verifyCaller,
	}
}

// ClientTLS is the configuration for calls to a service; nil when identity is
// off. The callee, "payments" or "psp-primary", is known by its certificate and
// not by its address, which may be that of a proxy.
func (i *Identity) ClientTLS(callee string) *tls.Config {
	if i == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		NextProtos:           []string{"http/1.1"}, // the pools are made for it
		ServerName:           callee,
		InsecureSkipVerify:   true, // only the host name goes unchecked: see verifyCallee
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.present() },
		VerifyConnection:     func(c tls.ConnectionState) error { return i.verifyCallee(callee, c) },
	}
}

// present is the certificate to show. An expired one is shown too: it is for
// the other side to refuse it, and to say so.
func (i *Identity) present() (*tls.Certificate, error) {
	b, err := i.files.current()
	if b == nil {
		i.log.Warn("no certificate to show", "error", err)
		return nil, err
	}
	return &b.pair, nil
}

// refuse counts and logs a refusal, and returns it as an error.
func (i *Identity) refuse(caller, callee, reason string, cause error) error {
	i.refused.WithLabelValues(label(caller), callee, reason).Inc()
	i.log.Warn("identity refused", "caller", caller, "callee", callee, "reason", reason, "error", cause)
	return fmt.Errorf("identity: %s -> %s refused: %s: %w", caller, callee, reason, cause)
}
