package call_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/issuer"
)

// TestIdentity: with identity on, client and callee prove who they are to each
// other, whatever scheme the address is written with.
func TestIdentity(t *testing.T) {
	env := map[string]string{"SHOP_IDENTITY": "on", "SHOP_CERTS": t.TempDir()}
	servicetest.StartHost(t, issuer.Setup, config(t, "issuer", env))
	setup := func(_ context.Context, h *service.Host) error {
		h.Handle("GET /x", func(w http.ResponseWriter, _ *http.Request) error { return service.WriteJSON(w, 200, "fine") })
		return nil
	}
	payments := servicetest.StartHost(t, identity.Protect(setup), config(t, "payments", env))
	get := func(caller, callee, scheme string) error {
		h := service.Bare(config(t, caller, env))
		t.Cleanup(func() { require.NoError(t, h.Close()) })
		return call.New(h, callee, call.Static(scheme+payments.Addr())).Get(t.Context(), "/x", nil)
	}
	assert.NoError(t, get("orders", "payments", "http://"))
	assert.NoError(t, get("orders", "payments", "https://"))
	assert.NoError(t, get("orders", "payments", ""))
	var refused *call.StatusError
	require.ErrorAs(t, get("reviews", "payments", ""), &refused)
	assert.Equal(t, http.StatusForbidden, refused.Status)
	err := get("orders", "inventory", "")
	assert.ErrorContains(t, err, "payments", "somebody else than the client wants")
}

func config(t *testing.T, svc string, env map[string]string) service.Config {
	cfg := servicetest.Config(t, env)
	cfg.Service, cfg.Name = svc, svc
	return cfg
}
