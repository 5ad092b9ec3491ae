//go:build e2e

package main

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/storetest"
)

// TestVariantUp: the variants as system.yaml describes them, started by Squall
// and reached through its proxies. What it shows is the description; the
// variants themselves have their own tests.
func TestVariantUp(t *testing.T) {
	out, err := exec.Command("make", "-C", "..", "build").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for variant, look := range map[string]func(*testing.T, *up){
		"identity":                  lookAtIdentity,
		"postgres,canary,autoscale": lookAtPostgres,
		"canary":                    lookAtCanary,
		"autoscale":                 lookAtAutoscale,
	} {
		t.Run(variant, func(t *testing.T) {
			if !strings.Contains(variant, "postgres") || storetest.HavePostgres(t) {
				look(t, squallUp(t, "system.yaml", variant))
			}
		})
	}
}

// TestVariantInContainers: the same variants as compose.yaml describes them.
func TestVariantInContainers(t *testing.T) {
	if exec.Command("docker", "info").Run() != nil {
		t.Skip("there is no docker")
	}
	out, err := exec.Command("make", "-C", "..", "images").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for variant, look := range map[string]func(*testing.T, *up){
		"identity": lookAtSignedIn,
		"canary,autoscale": func(t *testing.T, u *up) {
			assert.Contains(t, u.addr["gateway -> catalog-1"], "squall-proxy:", "as callers in the project know it")
			lookAtCanary(t, u)
			u.scales()
		},
	} {
		t.Run(variant, func(t *testing.T) { look(t, squallUp(t, "compose.yaml", variant)) })
	}
}

// up is a system that `squall up` has started.
type up struct {
	shop // its addresses: of services the operations listeners, of edges the proxies
}

var address = regexp.MustCompile(`(?m)^  (.+?)  +(?:http://)?((?:127\.0\.0\.1|squall-proxy):\d+)$`)

func squallUp(t *testing.T, system, variant string) *up {
	dir := openDir(t)
	repo, err := filepath.Abs("..")
	require.NoError(t, err)
	squall := func(args ...string) string {
		cmd := exec.Command(filepath.Join(repo, "bin", "squall"), args...)
		cmd.Dir = repo
		cmd.Env = append(os.Environ(), "SQUALL_STATE="+filepath.Join(dir, "state"))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	t.Cleanup(func() {
		assert.Contains(t, squall("down"), "ended up-")
		left, err := filepath.Glob(filepath.Join(dir, "state", "environments", "*"))
		require.NoError(t, err)
		assert.Empty(t, left)
	})
	u := &up{shop: shop{t: t, dir: dir, addr: map[string]string{}}}
	for _, m := range address.FindAllStringSubmatch(squall("up", filepath.Join("sample-system", system), "--switch", variant, "--out", filepath.Join(dir, "out")), -1) {
		if name := m[1]; strings.Contains(name, " -> ") {
			u.addr[name] = m[2]
		} else {
			u.addr[name+".ops"] = m[2]
		}
	}
	u.addr["gateway.http"] = u.addr["client -> gateway"]
	require.NotEmpty(t, u.addr["gateway.http"])
	return u
}

func lookAtIdentity(t *testing.T, u *up) {
	lookAtSignedIn(t, u)
	for _, to := range []string{"orders-1 -> payments-1", "payments-2 -> psp-primary", "gateway -> legacy", "gateway -> users"} {
		assert.Equal(t, 400, ask(t, http.MethodGet, "http://"+u.addr[to]+"/", "", nil), "%s takes plain HTTP", to)
	}
}

func lookAtSignedIn(t *testing.T, u *up) {
	assert.Equal(t, 401, u.checkout("nobody", tea).code)
	u.token = sync.OnceValue(u.signIn)
	assert.Equal(t, reply{code: 201, Status: "confirmed"}, u.checkout("up", tea))
	u.becomes("up", sold)
	assert.Empty(t, u.missing())
	assert.Equal(t, 200, u.profileWith(u.token()), "from legacy")
}

// pid finds the process of an instance.
func (u *up) pid(name string) int {
	files, err := filepath.Glob(filepath.Join(u.dir, "state", "environments", "*", "env.json"))
	require.NoError(u.t, err)
	require.Len(u.t, files, 1)
	text, err := os.ReadFile(files[0])
	require.NoError(u.t, err)
	var env struct {
		Processes map[string]struct {
			PID int `json:"pid"`
		} `json:"processes"`
	}
	require.NoError(u.t, json.Unmarshal(text, &env))
	require.NotZero(u.t, env.Processes[name].PID)
	return env.Processes[name].PID
}

func lookAtPostgres(t *testing.T, u *up) {
	assert.Empty(t, u.databases("catalog"), "the canary's products are where those of its siblings are")
	first, second := u.primary()
	u.waitReady(second)
	orders := drive("up", 10, u.patient)
	orders.more(t, 10)
	require.NoError(t, syscall.Kill(u.pid(first), syscall.SIGKILL))
	now, _ := u.primary()
	assert.Equal(t, second, now)
	orders.more(t, 60)
	answers := orders.stop()
	assert.Less(t, gap(answers), 6*time.Second)
	u.closed(t, answers)
}

func lookAtCanary(t *testing.T, u *up) {
	u.deploy(`{"live":"v2"}`)
	pages := drive("up", 20, u.pages)
	eventually(t, func() bool { return u.served(canary, "200") >= 20 }, 10*time.Second, "the second version serves")
	u.deploy(`{"live":"v1"}`)
	pages.more(t, 20)
	allWith(t, 200, pages.stop())
	assert.Equal(t, reply{code: 201, Status: "confirmed"}, u.checkout("up", tea))
}

func lookAtAutoscale(t *testing.T, u *up) {
	assert.Equal(t, reply{code: 201, Status: "confirmed"}, u.checkout("up", tea))
	u.scales()
	assert.Len(t, u.databases("catalog"), 1, "instances of a service share its database")
}

// scales asks for pages until there are more of catalog, and these are asked too.
func (u *up) scales() {
	t := u.t
	pages := drive("up-page", 40, u.pages)
	eventually(t, func() bool { return u.started() > 0 }, 15*time.Second, "an instance is started")
	eventually(t, func() bool {
		return metric(t, u.addr["gateway.ops"], "http_client_request_duration_seconds", map[string]string{"to": "catalog-11", "code": "200"}) > 0
	}, 10*time.Second, "and takes traffic")
	allWith(t, 200, pages.stop())
}

// databases are the SQLite files of a service.
func (u *up) databases(service string) []string {
	files, err := filepath.Glob(filepath.Join(u.dir, "state", "environments", "*", "data", "*", service+".db"))
	require.NoError(u.t, err)
	return files
}
