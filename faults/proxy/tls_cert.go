package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"time"

	"squall/faults"
)

// issuer is a certificate authority that nobody trusts, made when its stage comes.
type issuer struct {
	fault faults.TLSCert
	key   *ecdsa.PrivateKey // of authority and leaves alike
	ca    *x509.Certificate
}

func newIssuer(fault faults.TLSCert) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "squall unknown authority"},
		NotBefore: now.AddDate(-5, 0, 0), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	return &issuer{fault, key, ca}, nil
}

// certificate is for the name the caller asked for, or the address it dialled.
func (i *issuer) certificate(name string, dialled net.Addr) (tls.Certificate, error) {
	now := time.Now()
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		NotBefore:    now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if i.fault == faults.TLSExpired {
		leaf.NotAfter = now.Add(-time.Hour)
	}
	if name != "" {
		leaf.Subject.CommonName, leaf.DNSNames = name, []string{name}
	} else if tcp, ok := dialled.(*net.TCPAddr); ok {
		leaf.Subject.CommonName, leaf.IPAddresses = tcp.IP.String(), []net.IP{tcp.IP}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, i.ca, i.key.Public(), i.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: i.key}, err
}
