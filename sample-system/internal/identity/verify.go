// Verification of the other side of a connection.
//
// Answers: a caller, or a callee, with an expired certificate, with one of a
// foreign authority, or with that of somebody else. Both sides check the chain
// against the shop's own authority, the lifetime, and the name in the URI; host
// names and the system's roots count for nothing.
// Numbers: no tolerance for clocks: all processes share one.
// Costs: one signature check per connection.
// Breaks without it: scenario stranger, TestHandshakeRefused. Off switch: none, it is not what a
// shop would lose by accident.

package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reasons of a refusal, as they stand in identity_refused_total.
const (
	noCertificate = "no_certificate"
	expired       = "expired"
	notTrusted    = "unknown_authority"
	wrongService  = "wrong_service"
	notAllowed    = "not_allowed"
)

// verifyCaller runs at the end of a handshake, on the server.
func (i *Identity) verifyCaller(c tls.ConnectionState) error {
	if len(c.PeerCertificates) == 0 {
		return i.refuse("unknown", i.service, noCertificate, errors.New("the caller showed no certificate"))
	}
	if reason, err := i.verify(c.PeerCertificates, x509.ExtKeyUsageClientAuth); err != nil {
		return i.refuse(NameOf(c.PeerCertificates[0]), i.service, reason, err)
	}
	return nil
}

// verifyCallee runs at the end of a handshake, on the client.
func (i *Identity) verifyCallee(callee string, c tls.ConnectionState) error {
	if len(c.PeerCertificates) == 0 {
		return i.refuse(i.service, callee, noCertificate, errors.New("the callee showed no certificate"))
	}
	if reason, err := i.verify(c.PeerCertificates, x509.ExtKeyUsageServerAuth); err != nil {
		return i.refuse(i.service, callee, reason, err)
	}
	if name := NameOf(c.PeerCertificates[0]); !isInstance(callee, name) {
		return i.refuse(i.service, callee, wrongService, fmt.Errorf("the callee is %q", name))
	}
	return nil
}

// verify checks chain and lifetime, and says which of them failed.
func (i *Identity) verify(chain []*x509.Certificate, usage x509.ExtKeyUsage) (reason string, err error) {
	own, err := i.files.current()
	if own == nil {
		return noCertificate, err // we know no authority yet
	}
	rest := x509.NewCertPool()
	for _, c := range chain[1:] {
		rest.AddCert(c)
	}
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: own.roots, Intermediates: rest, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	var invalid x509.CertificateInvalidError
	switch {
	case err == nil:
		return "", nil
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return expired, err
	default:
		return notTrusted, err
	}
}

// NameOf is the service that a certificate is for: "orders" of
// spiffe://shop/orders. It is "unknown" for any other, and no proof of anything
// before the chain is checked.
func NameOf(c *x509.Certificate) string {
	for _, u := range c.URIs {
		if u.Scheme == "spiffe" && u.Host == Domain && len(u.Path) > 1 {
			return u.Path[1:]
		}
	}
	return "unknown"
}

// isInstance reports whether callee names the service or one of its instances,
// as "psp-primary" does psp.
func isInstance(callee, service string) bool {
	return callee == service || strings.HasPrefix(callee, service+"-")
}
