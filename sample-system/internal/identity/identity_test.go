package identity_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/issuer"
)

// certificates runs an issuer until stop is called, and returns the environment
// of services that trust it.
func certificates(t *testing.T, ttl string) (env map[string]string, stop func()) {
	env = map[string]string{"SHOP_IDENTITY": "on", "SHOP_CERTS": t.TempDir(), "SHOP_CERT_TTL": ttl}
	cfg := servicetest.Config(t, env)
	cfg.Service = "issuer"
	_, stop = servicetest.Run(t, issuer.Setup, cfg)
	return env, stop
}

func config(t *testing.T, name string, env map[string]string, defects ...string) service.Config {
	cfg := servicetest.Config(t, env, defects...)
	cfg.Service, cfg.Name, cfg.Ops = name, name+"-1", "127.0.0.1:0"
	return cfg
}

// callee serves GET /charge as the service of that name.
func callee(t *testing.T, name string, env map[string]string, defects ...string) *service.Host {
	return servicetest.StartHost(t, identity.Protect(func(_ context.Context, h *service.Host) error {
		h.Handle("GET /charge", func(w http.ResponseWriter, _ *http.Request) error { return service.WriteJSON(w, 200, "charged") })
		return nil
	}), config(t, name, env, defects...))
}

// caller is the service of that name, as it calls another.
type caller struct {
	*service.Host
	tls *tls.Config
}

func newCaller(t *testing.T, name, callee string, env map[string]string, defects ...string) *caller {
	h := service.Bare(config(t, name, env, defects...))
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	id, err := identity.Of(h)
	require.NoError(t, err)
	return &caller{h, id.ClientTLS(callee)}
}

// get calls over a connection of its own.
func (c *caller) get(to *service.Host) (int, string, error) {
	transport := &http.Transport{TLSClientConfig: c.tls, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Get("https://" + to.Addr() + "/charge")
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// TestWhoMayCallWhom: edges of the shop exist, others do not, and the refusal
// says who and whom.
func TestWhoMayCallWhom(t *testing.T) {
	env, stop := certificates(t, "1h")
	defer stop()
	for _, test := range []struct {
		caller, callee string
		status         int
	}{
		{"orders", "payments", 200},
		{"reviews", "payments", 403},
		{"payments", "payments", 403},
		{"gateway", "payments", 403},
		{"gateway", "reviews", 200},
		{"payments", "psp", 200},
		{"orders", "psp", 403},
	} {
		t.Run(test.caller+" to "+test.callee, func(t *testing.T) {
			to := callee(t, test.callee, env)
			code, body, err := newCaller(t, test.caller, test.callee, env).get(to)
			require.NoError(t, err)
			assert.Equal(t, test.status, code, body)
			refused := 0.0
			if code == 403 {
				assert.Contains(t, body, fmt.Sprintf("%s -\\u003e %s refused: not_allowed", test.caller, test.callee))
				assert.Contains(t, body, `"executed":false`)
				refused = 1
			}
			assert.Equal(t, refused, servicetest.Metric(t, to, "identity_refused_total"))
			code, _ = servicetest.Get(t, "http://"+to.OpsAddr()+"/livez")
			assert.Equal(t, 204, code, "operations stay plain")
		})
	}
}

// TestHandshakeRefused: who cannot prove who it is gets no answer, and both
// reason and name are counted.
func TestHandshakeRefused(t *testing.T) {
	t.Parallel()
	env, stop := certificates(t, "1h")
	defer stop()
	foreign, stopForeign := certificates(t, "1h")
	defer stopForeign()
	expired, stopExpired := certificates(t, "2s")
	stopExpired() // nobody renews them
	late := newCaller(t, "orders", "payments", expired)
	trustsExpired := map[string]string{"SHOP_IDENTITY": "on", "SHOP_CERTS": t.TempDir()}
	link(t, env, trustsExpired, "payments.pem", "payments.key")
	link(t, expired, trustsExpired, "ca.pem")
	require.Eventually(t, func() bool { return ready(t, late.Host) != nil }, 5*time.Second, 20*time.Millisecond)

	for name, test := range map[string]struct {
		server map[string]string
		client *caller
		is     string // the service that is really there
		counts string // where it is refused
		reason string
	}{
		"foreign authority": {env, newCaller(t, "orders", "payments", foreign), "payments", "client", "unknown_authority"},
		"wrong callee":      {env, newCaller(t, "orders", "payments", env), "reviews", "client", "wrong_service"},
		"no certificate":    {env, bare(t, env), "payments", "server", "no_certificate"},
		"expired":           {trustsExpired, trusting(late), "payments", "server", "expired"},
		"foreign to callee": {env, trusting(newCaller(t, "orders", "payments", foreign)), "payments", "server", "unknown_authority"},
	} {
		t.Run(name, func(t *testing.T) {
			to := callee(t, test.is, test.server)
			_, _, err := test.client.get(to)
			require.Error(t, err)
			host := to
			if test.counts == "client" {
				host = test.client.Host
			}
			require.Eventually(t, func() bool { return refusals(t, host, test.reason) == 1 }, 5*time.Second, 10*time.Millisecond)
		})
	}
}

// bare is a caller without a certificate.
func bare(t *testing.T, env map[string]string) *caller {
	return &caller{newCaller(t, "orders", "payments", env).Host, &tls.Config{InsecureSkipVerify: true}}
}

// trusting is a caller that would talk to anybody.
func trusting(c *caller) *caller {
	c.tls.VerifyConnection = nil
	return c
}

func link(t *testing.T, from, to map[string]string, names ...string) {
	for _, name := range names {
		require.NoError(t, os.Link(filepath.Join(from["SHOP_CERTS"], name), filepath.Join(to["SHOP_CERTS"], name)))
	}
}

func ready(t *testing.T, h *service.Host) error {
	id, err := identity.Of(h)
	require.NoError(t, err)
	return id.Ready()
}

func refusals(t *testing.T, h *service.Host, reason string) (n float64) {
	families, err := h.Metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == "identity_refused_total" && l.GetName() == "reason" && l.GetValue() == reason {
					n += m.GetCounter().GetValue()
				}
			}
		}
	}
	return n
}

// TestOff: without the switch nothing is demanded and nothing is offered.
func TestOff(t *testing.T) {
	to := callee(t, "payments", nil)
	code, _ := servicetest.Get(t, "http://"+to.Addr()+"/charge")
	assert.Equal(t, 200, code)
	id, err := identity.Of(to)
	require.NoError(t, err)
	assert.False(t, id.On())
	assert.Nil(t, id.ClientTLS("orders"))
	assert.NoError(t, id.Ready())
}

// TestPublic: the gateway's callers are people, who have no certificate.
func TestPublic(t *testing.T) {
	env, stop := certificates(t, "1h")
	defer stop()
	to := callee(t, "gateway", env)
	code, _ := servicetest.Get(t, "http://"+to.Addr()+"/charge")
	assert.Equal(t, 200, code)
}

// TestBeforeTheIssuer: a service that starts first is not ready, and becomes it
// without a restart.
func TestBeforeTheIssuer(t *testing.T) {
	t.Parallel()
	env := map[string]string{"SHOP_IDENTITY": "on", "SHOP_CERTS": t.TempDir()}
	to := callee(t, "payments", env)
	from := newCaller(t, "orders", "payments", env)
	_, _, err := from.get(to)
	require.Error(t, err)
	require.Error(t, to.Ready())

	issued, stop := certificates(t, "1h")
	defer stop()
	link(t, issued, env, "ca.pem", "payments.pem", "payments.key", "orders.pem", "orders.key")
	require.Eventually(t, func() bool { return to.Ready() == nil }, 5*time.Second, 10*time.Millisecond)
	code, _, err := from.get(to)
	require.NoError(t, err)
	assert.Equal(t, 200, code)
}

func TestMissingFolder(t *testing.T) {
	_, err := identity.Of(service.Bare(config(t, "orders", map[string]string{"SHOP_IDENTITY": "on"})))
	assert.ErrorContains(t, err, "SHOP_CERTS is not set")
}
