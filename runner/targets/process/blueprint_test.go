package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/targets/ports"
	"squall/scenarios/spec"
)

// shop has an edge of every protocol and one variable for two edges.
func shop(dir string) (*spec.System, site) {
	sys := &spec.System{
		File: filepath.Join(dir, "system.yaml"), Metadata: spec.Metadata{Name: "shop"},
		Spec: spec.SystemSpec{
			Services: map[string]spec.Service{
				"orders": {
					Command: []string{"bin/shop", "orders", "--listen=${self.http}", "$HOME"},
					Env:     map[string]string{"DB": "${data}/orders.db", "CONF": "${dir}/shop.conf", "PEER": "http://${bus.client}/x,${bus.client}", "BUS_URL": "overwritten"},
					Ports:   []string{"http"}, Port: "http", Ready: spec.Ready{HTTP: "/readyz"}, Metrics: "/metrics", Defects: []string{"D2", "D1"},
				},
				"bus": {Command: []string{"bus"}, Ports: []string{"client"}, Port: "http", Stop: spec.Duration(time.Second)},
				"db":  {Command: []string{"db"}, Ports: []string{"http"}, Port: "http"},
				"job": {Command: []string{"job"}, Port: "http", Defects: []string{"D3"}},
			},
			Edges: spec.Edges{
				{Caller: "client", Callee: "orders", Protocol: "http", Env: "ORDERS_URL", Port: "http"},
				{Caller: "orders", Callee: "bus", Protocol: "nats", Env: "BUS_URL", Port: "client"},
				{Caller: "orders", Callee: "db", Protocol: "postgres", Env: "DB_URL", Port: "http"},
				{Caller: "orders", Callee: "job2", Protocol: "tcp", Env: "BUS_URL", Port: "tcp"},
			},
			Defects: &spec.Defects{Env: "SHOP_DEFECTS", Known: map[string]string{"D1": "", "D2": "", "D3": ""}},
		},
	}
	sys.Spec.Services["job2"] = spec.Service{Command: []string{"job"}, Ports: []string{"tcp"}, Port: "http"}
	return sys, site{
		id: "run-1", owner: "run", folder: "/state/run-1", self: []string{"/bin/squall", "-v"}, inherit: []string{"PATH=/bin"}, api: "127.0.0.1:1",
		services: map[string]string{"orders.http": "127.0.0.1:10", "bus.client": "127.0.0.1:11", "db.http": "127.0.0.1:12", "job2.tcp": "127.0.0.1:13"},
		links: map[string]string{
			"client -> orders": "127.0.0.1:20", "orders -> bus": "127.0.0.1:21", "orders -> db": "127.0.0.1:22", "orders -> job2": "127.0.0.1:23",
		},
	}
}

func TestDraw(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "db"), nil, 0o600))
	sys, at := shop(dir)
	bp, err := draw(sys, []string{"D1", "D2"}, at)
	require.NoError(t, err)

	assert.Equal(t, map[string]string{"ORDERS_URL": "http://127.0.0.1:20"}, bp.ClientEnv)
	assert.Equal(t, []string{"/bin/squall", "-v", "proxy", "--listen", "127.0.0.1:1"}, bp.Proxy.Command)
	assert.Equal(t, link{Proxy: "orders.bus", Edge: "orders -> bus", Service: "orders -> bus", Protocol: "nats", Listen: "127.0.0.1:21", Upstream: "127.0.0.1:11"}, bp.Links[1])

	byName := map[string]launch{}
	for _, l := range bp.Services {
		byName[l.Name] = l
	}
	assert.Equal(t, launch{
		Name:    "orders",
		Ports:   map[string]string{"http": "127.0.0.1:10"},
		Of:      "orders",
		Command: []string{filepath.Join(dir, "bin/shop"), "orders", "--listen=127.0.0.1:10", "$HOME"},
		Env: []string{
			"BUS_URL=nats://127.0.0.1:21,127.0.0.1:23", "CONF=" + dir + "/shop.conf", "DB=/state/run-1/data/orders/orders.db",
			"DB_URL=postgres://127.0.0.1:22", "PATH=/bin", "PEER=http://127.0.0.1:11/x,127.0.0.1:11", "SHOP_DEFECTS=D1,D2", "SQUALL_ENVIRONMENT=run-1",
		},
		Dir: "/state/run-1/data/orders", Ready: readySigns{HTTP: "http://127.0.0.1:10/readyz"}, Within: defaultWithin, Stop: defaultStop,
		URL: "http://127.0.0.1:10", Metrics: "/metrics",
	}, byName["orders"])

	bus := byName["bus"]
	assert.Equal(t, "bus", bus.Command[0], "not beside the file: PATH decides")
	assert.Equal(t, filepath.Join(dir, "db"), byName["db"].Command[0])
	assert.Equal(t, "127.0.0.1:11", bus.Ready.TCP, "no http path: its first port")
	assert.Empty(t, bus.URL)
	assert.Equal(t, time.Second, bus.Stop)
	assert.Equal(t, "127.0.0.1:12", byName["db"].Ready.TCP)
	assert.False(t, byName["job"].Ready.any())
	assert.Equal(t, []string{"PATH=/bin", "SQUALL_ENVIRONMENT=run-1"}, byName["job"].Env, "defects it does not know are not told")
}

// pool has a service with replicas on either side of an edge.
const pool = `apiVersion: squall/v1
kind: System
metadata: {name: pool}
spec:
  target: process
  services:
    front:
      command: [PROGRAM, serve, "${self.http}"]
      env: {SELF: "${name}", DATA: "${data}", BACKS: "${back.http}", SECOND: "${back-2.http}", CERTS: "${shared}/certs"}
      ports: [http]
      ready: {http: /ready}
      replicas: 2
    back:
      command: [PROGRAM, serve, "${self.ops}", "${self.http}"]
      env: {SELF: "${name}", DATA: "${data}"}
      ports: [http, ops]
      port: ops
      ready: {http: /ready}
      replicas: 2
      defects: [D1]
  edges:
    client -> front: {protocol: http, env: FRONT_URL}
    front -> back: {protocol: http, env: BACK_URL}
  switches:
    identity: {env: {IDENTITY: "on"}, protocol: tcp}
  defects: {env: DEFECTS, known: {D1: one}}
`

func poolSystem(t *testing.T, switches ...spec.Choice) *spec.System {
	t.Helper()
	text := strings.ReplaceAll(pool, "PROGRAM", os.Args[0])
	declared, problems := spec.ParseSystem(filepath.Join(t.TempDir(), "system.yaml"), []byte(text))
	require.Empty(t, problems)
	sys, problems := declared.With(switches...)
	require.Empty(t, problems)
	return sys
}

func drawPool(t *testing.T, switches ...spec.Choice) (bp *blueprint, byName map[string]launch) {
	t.Helper()
	sys := poolSystem(t, switches...)
	p := ports.New()
	defer p.ReleaseAll()
	at := site{id: "run-1", owner: "run", folder: "/state/run-1", self: []string{"/bin/squall"}}
	require.NoError(t, place(p, sys, &at))
	bp, err := draw(sys, []string{"D1"}, at)
	require.NoError(t, err)
	byName = map[string]launch{}
	for _, l := range bp.Services {
		byName[l.Name] = l
	}
	return bp, byName
}

func TestDrawInstances(t *testing.T) {
	bp, byName := drawPool(t)
	var proxies, edges []string
	listen := map[string]string{}
	for _, l := range bp.Links {
		proxies, edges = append(proxies, l.Proxy), append(edges, l.Edge)
		listen[l.Edge] = "http://" + l.Listen
	}
	assert.Equal(t, []string{"client.front-1", "client.front-2", "front-1.back-1", "front-1.back-2", "front-2.back-1", "front-2.back-2"}, proxies)
	assert.Equal(t, []string{"client -> front-1", "client -> front-2", "front-1 -> back-1", "front-1 -> back-2", "front-2 -> back-1", "front-2 -> back-2"}, edges)
	assert.Equal(t, map[string]string{"FRONT_URL": listen["client -> front-1"] + "," + listen["client -> front-2"]}, bp.ClientEnv)

	front := byName["front-2"]
	assert.Equal(t, "front", front.Of)
	assert.Contains(t, front.Env, "BACK_URL="+listen["front-2 -> back-1"]+","+listen["front-2 -> back-2"], "its own proxies, in the order of the numbers")
	assert.Contains(t, front.Env, "SELF=front-2")
	assert.Contains(t, front.Env, "BACKS="+upstream(bp, "back-1")+","+upstream(bp, "back-2"))
	assert.Contains(t, front.Env, "SECOND="+upstream(bp, "back-2"))
	assert.Contains(t, front.Env, "CERTS=/state/run-1/shared/certs")
	for _, name := range []string{"back-1", "back-2"} {
		back := byName[name]
		assert.Contains(t, back.Env, "DATA=/state/run-1/data/back", "instances share the folder of their service")
		assert.Equal(t, "/state/run-1/data/back", back.Dir)
		assert.Contains(t, back.Env, "DEFECTS=D1")
		assert.Equal(t, back.URL+"/ready", back.Ready.HTTP)
		assert.NotEqual(t, "http://"+upstream(bp, name), back.URL, "port: ops is asked, port http is called")
	}
	assert.NotEqual(t, byName["back-1"].URL, byName["back-2"].URL)
	assert.Equal(t, []string{"back", "back", "front", "front"}, []string{bp.public()[0].Of, bp.public()[1].Of, bp.public()[2].Of, bp.public()[3].Of})
}

func upstream(bp *blueprint, instance string) string {
	for _, l := range bp.Links {
		if strings.HasSuffix(l.Edge, "-> "+instance) {
			return l.Upstream
		}
	}
	return ""
}

// What a switch changes is what proxies may look into, not how addresses are written.
func TestDrawUnderASwitch(t *testing.T) {
	bp, byName := drawPool(t, spec.Choice{Name: "identity"})
	for _, l := range bp.Links {
		want := "tcp"
		if strings.HasPrefix(l.Edge, "client") {
			want = "http"
		}
		assert.Equal(t, want, l.Protocol, l.Edge)
	}
	assert.Contains(t, byName["back-1"].Env, "IDENTITY=on")
	assert.Contains(t, strings.Join(byName["front-1"].Env, " "), "BACK_URL=http://127.0.0.1:")
}

func TestDrawRefuses(t *testing.T) {
	set := func(name string, change func(*spec.Service)) func(*spec.System) {
		return func(sys *spec.System) {
			svc := sys.Spec.Services[name]
			change(&svc)
			sys.Spec.Services[name] = svc
		}
	}
	for name, tc := range map[string]struct {
		change  func(*spec.System)
		defects []string
		want    string
	}{
		"unknown variable": {
			change: set("orders", func(s *spec.Service) { s.Env["DB"] = "${bus.cluster}" }),
			want:   "service orders: env DB: ${bus.cluster} is unknown, known: data, shared, dir, bus.client, db.http, job2.tcp, orders.http",
		},
		"own port that is not there": {
			change: set("job", func(s *spec.Service) { s.Command = append(s.Command, "${self.http}") }),
			want:   "service job: command: ${self.http} is unknown, known: data, shared, dir, bus.client, db.http, job2.tcp, orders.http",
		},
		"open brace": {
			change: set("orders", func(s *spec.Service) { s.Env["DB"] = "${data/x" }),
			want:   "service orders: env DB: ${data/x is not closed by }",
		},
		"edge to a missing port": {
			change: func(sys *spec.System) { sys.Spec.Edges[1].Port = "http" },
			want:   `edge orders -> bus: bus has no port "http", known: bus.client, db.http, job2.tcp, orders.http`,
		},
		"readiness without a port": {
			change: set("bus", func(s *spec.Service) { s.Ready.HTTP = "/ready" }),
			want:   `service bus: ready: no port "http" to ask, ports: client`,
		},
		"own name": {
			change: func(sys *spec.System) { sys.Spec.Services["squall-disk"] = sys.Spec.Services["job"] },
			want:   "service squall-disk: needs a name other than squall-proxy, squall-supervisor and squall-disk",
		},
		"defect nobody knows": {defects: []string{"D1", "D9"}, want: "defect D9: no service knows it, known: D1, D2, D3"},
		"no defects at all": {
			change:  func(sys *spec.System) { sys.Spec.Defects = nil },
			defects: []string{"D1"}, want: "defect D1: system shop has no defects",
		},
	} {
		t.Run(name, func(t *testing.T) {
			sys, at := shop(t.TempDir())
			if tc.change != nil {
				tc.change(sys)
			}
			_, err := draw(sys, tc.defects, at)
			require.EqualError(t, err, tc.want)
		})
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"", "plain", "${data}", "a${self.http}b${dir}", "${", "${}", "$${data}", "${${data}}"} {
		f.Add(seed)
	}
	sys, at := shop(f.TempDir())
	d := drawing{sys: sys, at: at, name: "orders", service: sys.Spec.Services["orders"], dir: "/d"}
	f.Fuzz(func(t *testing.T, text string) {
		out, err := d.expand(text)
		if err == nil {
			assert.NotContains(t, out, "${data}")
		}
	})
}
