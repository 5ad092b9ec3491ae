// Package issuer is the certificate authority of the shop: it alone holds the
// authority's key, and keeps a short-lived certificate for each service in
// SHOP_CERTS, as cert-manager does with mounted secrets. It is started only with
// the switch "identity".
package issuer

import (
	"context"
	"fmt"
	"os"
	"time"

	"squall/sample-system/internal/service"
)

// defaultTTL is the life of a certificate. An hour is short enough that nobody
// needs to revoke, and an issuer may be away for 20 minutes of it, unnoticed.
const defaultTTL = time.Hour

// Setup wires the issuer.
func Setup(_ context.Context, h *service.Host) error {
	data, err := h.DataDir()
	if err != nil {
		return err
	}
	dir := h.Getenv("SHOP_CERTS")
	if dir == "" {
		return fmt.Errorf("configure %s: SHOP_CERTS is not set, want a folder", h.Name)
	}
	ttl := defaultTTL
	if v := h.Getenv("SHOP_CERT_TTL"); v != "" {
		if ttl, err = time.ParseDuration(v); err != nil || ttl < minTTL {
			return fmt.Errorf("configure %s: SHOP_CERT_TTL is %q, want a duration of at least %s", h.Name, v, minTTL)
		}
	}
	for _, folder := range []string{data, dir} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return fmt.Errorf("set up certificates: %w", err)
		}
	}
	ca, err := openAuthority(data)
	if err != nil {
		return err
	}
	r := newRenewer(h, ca, dir, ttl)
	if err := r.start(); err != nil {
		return err
	}
	h.Check("certificates", true, r.ready)
	h.Go("renew", r.run)
	h.HandleOps("GET /audit/certificates", r.handleAudit)
	h.HandleOps("POST /certificates/{service}", r.handleIssue)
	return nil
}
