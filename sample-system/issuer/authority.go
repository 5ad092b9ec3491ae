// The authority: the one key that everybody's trust hangs on.
//
// Answers: who vouches for the names. It stays in the issuer's own folder, and
// survives its restarts: a new authority would make all certificates worthless
// at once.
// Numbers: ECDSA P-256, 20 us to sign. The authority lives for a year; it is
// not rotated, which would take a time in which both are trusted.
// Costs: nothing but care for the file.
// Breaks without it: TestAuthoritySurvivesRestart. Off switch: none.

package issuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"squall/sample-system/internal/identity"
)

const authorityTTL = 365 * 24 * time.Hour

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // of cert, for all to read
}

// openAuthority reads the authority in a folder, or makes it.
func openAuthority(dir string) (*authority, error) {
	path := filepath.Join(dir, "authority.pem")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newAuthority(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	ca, err := parseAuthority(b)
	if err != nil {
		return nil, fmt.Errorf("open authority %s: %w", path, err)
	}
	return ca, nil
}

func newAuthority(path string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: identity.Domain + " authority"},
		URIs:      []*url.URL{{Scheme: "spiffe", Host: identity.Domain}},
		NotBefore: now, NotAfter: now.Add(authorityTTL),
		IsCA: true, MaxPathLenZero: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	private, err := pemKey(key)
	if err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	both := append(pemCert(der), private...) // one file, so that they always fit
	if err := replace(path, both); err != nil {
		return nil, fmt.Errorf("make authority: %w", err)
	}
	return parseAuthority(both)
}

// parseAuthority reads a certificate followed by its key.
func parseAuthority(b []byte) (*authority, error) {
	block, rest := pem.Decode(b)
	private, _ := pem.Decode(rest)
	if block == nil || private == nil {
		return nil, errors.New("want a certificate and a key, in PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(private.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the key is not that of the certificate")
	}
	return &authority{cert: cert, key: ec, pem: pemCert(cert.Raw)}, nil
}

// issue makes a certificate and its key, valid from now for ttl, to the second.
func (a *authority) issue(service string, ttl time.Duration) (cert *x509.Certificate, private []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now() // not dated back: all of the shop shares one clock
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: service},
		URIs:      []*url.URL{identity.ID(service)},
		NotBefore: now, NotAfter: now.Add(ttl),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, err
	}
	private, err = pemKey(key)
	return cert, private, err
}

func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return new(big.Int).SetBytes(b)
}

func pemCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func pemKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// replace writes a file that is there as a whole or not at all.
func replace(path string, b []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
