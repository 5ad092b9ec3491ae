// Rotation of certificates without a restart.
//
// Answers: certificates that live for an hour. The files that the issuer
// replaces are looked at on each handshake, and read again when they changed;
// connections that are open go on with what they were opened with.
// Numbers: three stat calls, about 5 us, per handshake.
// Costs: a certificate and its key are two files. If one was replaced and the
// other not yet, they do not fit; then the pair before stays until they do.
// Breaks without it: scenario rotation, TestRotation: handshakes
// fail once the first certificate has expired. Off switch: D39, what was read
// first is kept.

package identity

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// bundle is what a process proves its identity with, and checks others by.
type bundle struct {
	pair  tls.Certificate // with its Leaf
	roots *x509.CertPool
}

// files are the certificate, key and authority of one service on disk.
type files struct {
	paths [3]string // certificate, key, authority
	once  bool      // D39

	mu     sync.Mutex
	seen   [3]os.FileInfo
	loaded *bundle // nil: never yet
	err    error   // of the last reading
}

func newFiles(dir string, h *service.Host) *files {
	return &files{once: h.Defects.Has(defect.CertificateLoadOnce), paths: [3]string{
		filepath.Join(dir, h.Service+".pem"), filepath.Join(dir, h.Service+".key"), filepath.Join(dir, "ca.pem"),
	}}
}

// current is what is on disk now, or the last of it that could be read. The
// error says why it cannot be used; the bundle is nil if there never was one.
func (f *files) current() (*bundle, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.once || f.loaded == nil {
		f.refresh()
	}
	if f.loaded == nil {
		return nil, f.err
	}
	if leaf := f.loaded.pair.Leaf; time.Now().After(leaf.NotAfter) {
		return f.loaded, fmt.Errorf("certificate of %s expired at %s", NameOf(leaf), leaf.NotAfter.Format(time.RFC3339))
	}
	return f.loaded, nil
}

// refresh reads the files again if any of them changed.
func (f *files) refresh() {
	now, err := f.versions()
	if err != nil {
		f.err = err
		return
	}
	if f.loaded != nil && f.unchanged(now) {
		return
	}
	b, err := f.read()
	if f.err = err; err == nil {
		f.loaded, f.seen = b, now
	}
}

func (f *files) versions() (v [3]os.FileInfo, err error) {
	for i, path := range f.paths {
		if v[i], err = os.Stat(path); err != nil {
			return v, fmt.Errorf("read certificate: %w", err)
		}
	}
	return v, nil
}

// unchanged: a file that was replaced is another one, even if it is of the same
// size and moment.
func (f *files) unchanged(now [3]os.FileInfo) bool {
	for i, was := range f.seen {
		if !os.SameFile(was, now[i]) || was.ModTime() != now[i].ModTime() || was.Size() != now[i].Size() {
			return false
		}
	}
	return true
}

func (f *files) read() (*bundle, error) {
	pair, err := tls.LoadX509KeyPair(f.paths[0], f.paths[1]) // also checks that they fit
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", f.paths[0], err)
	}
	pem, err := os.ReadFile(f.paths[2])
	if err != nil {
		return nil, fmt.Errorf("read authority: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read authority %s: no certificate in it", f.paths[2])
	}
	return &bundle{pair: pair, roots: roots}, nil
}

// RenewAt is when a certificate is to be replaced: after two thirds of its
// life. The rest is for an issuer that is away.
func RenewAt(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}

// expiryMetrics let an alert compare what is left of a certificate with what it
// had.
func (i *Identity) expiryMetrics(h *service.Host) {
	read := func(of func(*x509.Certificate) time.Time) func() float64 {
		return func() float64 {
			b, _ := i.files.current()
			if b == nil {
				return 0
			}
			return float64(of(b.pair.Leaf).Unix())
		}
	}
	labels := prometheus.Labels{}
	h.GaugeFunc("identity_certificate_not_before_seconds", "Unix time from which the certificate in use is valid; 0 without one.", labels,
		read(func(c *x509.Certificate) time.Time { return c.NotBefore }))
	h.GaugeFunc("identity_certificate_not_after_seconds", "Unix time at which the certificate in use expires; 0 without one.", labels,
		read(func(c *x509.Certificate) time.Time { return c.NotAfter }))
}
