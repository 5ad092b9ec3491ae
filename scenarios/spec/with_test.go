package spec

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// variants has every way in which a system can differ from what its file says.
const variants = `apiVersion: squall/v1
kind: System
metadata: {name: shop}
spec:
  target: process
  services:
    gateway:
      command: [shop, gateway, "--name=${name}"]
      env: {PEERS: "http://${payments.http}/x", ONE: "${payments-2.http}", SELF: "${self.http}", MODE: own}
      ports: [http]
      replicas: 2
    payments:
      command: [shop, payments]
      env: {NAME: "${name}", DB: "${data}/p.db", OTHERS: "${self.http} of ${payments.http}"}
      ports: [http]
      replicas: 2
    psp: {command: [shop, psp], ports: [http]}
    bus: {command: [shop, bus], ports: [http, client], replicas: 3}
    issuer: {command: [shop, issuer], ports: [http], when: identity, replicas: 1}
    plain: {command: [shop, plain], ports: [http], unless: identity}
  edges:
    client -> gateway: {protocol: http, env: GATEWAY_URL}
    gateway -> payments: {protocol: http, env: PAYMENTS_URL}
    payments -> psp: {protocol: http, env: PSP_URL}
    payments -> bus: {protocol: nats, env: NATS_URL, port: client}
    bus -> bus: {protocol: tcp, env: PEER_URL, port: client}
    payments -> issuer: {protocol: http, env: ISSUER_URL}
    payments -> plain: {protocol: http, env: PLAIN_URL}
    gateway -> psp: {protocol: http, env: DEBUG_URL, when: debug}
    gateway -> bus: {protocol: nats, env: BUS_URL, port: client, when: [identity, debug]}
    psp -> bus: {protocol: nats, env: BUS_URL, port: client, when: debug, unless: [other, identity]}
  zones:
    north: [gateway-1, payments, bus-1]
    guarded: [issuer]
  switches:
    identity: {title: Certificates, env: {IDENTITY: "on", MODE: strict, WHO: "${name}"}, protocol: tcp}
    debug: {env: {LEVEL: debug}}
    quiet: {env: {LEVEL: quiet}}
    other: {title: Something else}
  ledger:
    charges: {service: payments, path: /audit/charges}
    certificates: {service: issuer-1, path: /audit/certificates}
    all: {of: [charges, certificates]}
    issued: {of: [certificates]}
`

func declared(t *testing.T) *System {
	t.Helper()
	s, ps := ParseSystem("system.yaml", []byte(variants))
	require.Empty(t, ps)
	return s
}

func with(t *testing.T, switches ...string) *System {
	t.Helper()
	var chosen []Choice
	for _, name := range switches {
		chosen = append(chosen, Choice{Name: name})
	}
	s, ps := declared(t).With(chosen...)
	require.Empty(t, ps)
	return s
}

func TestReplicasBecomeServices(t *testing.T) {
	s := with(t)
	assert.Equal(t, []string{"bus-1", "bus-2", "bus-3", "gateway-1", "gateway-2", "payments-1", "payments-2", "plain", "psp"}, sorted(s.Spec.Services))
	gateway := s.Spec.Services["gateway-2"]
	assert.Equal(t, []any{"gateway", 2}, []any{gateway.Of, gateway.Ordinal})
	assert.Equal(t, []string{"shop", "gateway", "--name=gateway-2"}, gateway.Command)
	assert.Equal(t, map[string]string{
		"PEERS": "http://${payments-1.http},${payments-2.http}/x", "ONE": "${payments-2.http}", "SELF": "${self.http}", "MODE": "own",
	}, gateway.Env)
	assert.Equal(t, map[string]string{"NAME": "payments-1", "DB": "${data}/p.db", "OTHERS": "${self.http} of ${payments-1.http},${payments-2.http}"},
		s.Spec.Services["payments-1"].Env, "${data} and ${self.PORT} are for whoever places it")
	assert.Equal(t, []any{"psp", 0}, []any{s.Spec.Services["psp"].Of, s.Spec.Services["psp"].Ordinal}, "without replicas it keeps its name")

	again := with(t)
	again.Spec.Services["gateway-1"].Env["MODE"] = "changed"
	again.Spec.Services["gateway-1"].Command[0] = "changed"
	assert.Equal(t, "own", again.Spec.Services["gateway-2"].Env["MODE"], "instances share nothing")
	assert.Equal(t, "shop", again.Spec.Services["gateway-2"].Command[0])
}

func TestEdgesJoinEveryPair(t *testing.T) {
	s := with(t)
	var got []string
	for _, e := range s.Spec.Edges {
		got = append(got, e.Name())
	}
	assert.Equal(t, []string{
		"client -> gateway-1", "client -> gateway-2",
		"gateway-1 -> payments-1", "gateway-1 -> payments-2", "gateway-2 -> payments-1", "gateway-2 -> payments-2",
		"payments-1 -> psp", "payments-2 -> psp",
		"payments-1 -> bus-1", "payments-1 -> bus-2", "payments-1 -> bus-3", "payments-2 -> bus-1", "payments-2 -> bus-2", "payments-2 -> bus-3",
		"bus-1 -> bus-2", "bus-1 -> bus-3", "bus-2 -> bus-1", "bus-2 -> bus-3", "bus-3 -> bus-1", "bus-3 -> bus-2",
		"payments-1 -> plain", "payments-2 -> plain",
	}, got, "in the order of file and numbers, none to itself, none to what is not there")
	assert.Equal(t, "client", s.Spec.Edges[8].Port)

	services, edges := s.Declared()
	assert.Equal(t, []string{"bus", "gateway", "payments", "plain", "psp"}, services)
	assert.Equal(t, []string{"client -> gateway", "gateway -> payments", "payments -> psp", "payments -> bus", "bus -> bus", "payments -> plain"}, edges)
}

func TestNamesOfInstancesAndGroups(t *testing.T) {
	s := with(t)
	for name, want := range map[string][]string{
		"payments":                 {"payments-1", "payments-2"},
		"payments-2":               {"payments-2"},
		"psp":                      {"psp"},
		"payments-3":               nil,
		"client":                   nil,
		"payments -> psp":          {"payments-1 -> psp", "payments-2 -> psp"},
		"payments-1 -> psp":        {"payments-1 -> psp"},
		"gateway -> payments-2":    {"gateway-1 -> payments-2", "gateway-2 -> payments-2"},
		"client -> gateway":        {"client -> gateway-1", "client -> gateway-2"},
		"gateway-1->payments-1":    {"gateway-1 -> payments-1"},
		"psp -> payments":          nil,
		"payments -> issuer":       nil,
		"payments -> ":             nil,
		"payments-1 -> bus":        {"payments-1 -> bus-1", "payments-1 -> bus-2", "payments-1 -> bus-3"},
		"gateway -> payments -> x": nil,
	} {
		assert.Equal(t, want, s.Targets(name), name)
	}
	assert.Equal(t, "payments", s.ServiceOf("payments-2"))
	assert.Equal(t, "client", s.ServiceOf("client"))
	assert.Equal(t, "client -> gateway", s.EdgeOf("client -> gateway-2"))
	assert.Equal(t, "no edge", s.EdgeOf("no edge"))
}

func TestTenInstancesAreInOrder(t *testing.T) {
	s := declared(t)
	bus := s.Spec.Services["bus"]
	bus.Replicas = 11
	s.Spec.Services["bus"] = bus
	out, ps := s.With()
	require.Empty(t, ps)
	assert.Equal(t, []string{"bus-9", "bus-10", "bus-11"}, out.Instances("bus")[8:])
}

func TestSwitchesChangeTheSystem(t *testing.T) {
	on := with(t, "identity", "debug")
	assert.Equal(t, []string{"debug", "identity"}, on.Switches)
	assert.Contains(t, on.Spec.Services, "issuer-1", "one replica has a number, too")
	assert.NotContains(t, on.Spec.Services, "plain")
	assert.Equal(t, map[string]string{"IDENTITY": "on", "LEVEL": "debug", "MODE": "strict", "WHO": "psp"}, on.Spec.Services["psp"].Env)
	assert.Equal(t, "own", on.Spec.Services["gateway-1"].Env["MODE"], "a service's own variable wins")

	protocols := map[string]string{}
	for _, e := range on.Spec.Edges {
		protocols[on.EdgeOf(e.Name())] = e.Protocol + " " + e.Scheme
	}
	assert.Equal(t, map[string]string{
		"client -> gateway": "http ", "gateway -> bus": "nats ", "gateway -> payments": "tcp http", "payments -> psp": "tcp http", "payments -> bus": "nats ",
		"bus -> bus": "tcp ", "payments -> issuer": "tcp http", "gateway -> psp": "tcp http",
	}, protocols, "http between services becomes tcp, its addresses stay")

	off := with(t)
	assert.NotContains(t, off.Spec.Services["psp"].Env, "IDENTITY")
	assert.Equal(t, "it is there only with switch identity", off.Absent("issuer"))
	assert.Equal(t, "issuer: it is there only with switch identity", off.Absent("payments -> issuer"))
	assert.Equal(t, "it is there only with switch debug", off.Absent("gateway -> psp"))
	assert.Equal(t, "it is not there with switch identity", on.Absent("plain"))
	assert.Empty(t, off.Absent("psp")+off.Absent("nothing"))
}

func TestBooksOfAbsentServicesAreLeftOut(t *testing.T) {
	off, on := with(t), with(t, "identity")
	assert.Equal(t, []string{"all", "charges"}, sorted(off.Spec.Ledger))
	assert.Equal(t, []string{"charges"}, off.Spec.Ledger["all"].Of)
	assert.Equal(t, "issuer: it is there only with switch identity", off.AbsentBooks("certificates"))
	assert.Equal(t, "none of its sources is there", off.AbsentBooks("issued"))
	assert.Equal(t, []string{"all", "certificates", "charges", "issued"}, sorted(on.Spec.Ledger))
	assert.Equal(t, []string{"charges", "certificates"}, on.Spec.Ledger["all"].Of)
	assert.Empty(t, on.AbsentBooks("certificates"))
}

func TestWithLeavesTheDeclaredSystemAlone(t *testing.T) {
	s := declared(t)
	for _, choice := range [][]Choice{{{Name: "identity"}}, nil, {{Name: "identity"}, {Name: "identity"}}} {
		_, ps := s.With(choice...)
		require.Empty(t, ps)
	}
	assert.Equal(t, declared(t), s)
}

func TestWithRefuses(t *testing.T) {
	s := declared(t)
	_, ps := s.With(Choice{Name: "identty"})
	assert.EqualError(t, ps, `system.yaml:1:1: switches: system shop has no switch "identty" (did you mean "identity"?)`)
	_, ps = s.With(Choice{Name: "dbug", Pos: Pos{"s.yaml", 7, 14}}, Choice{Name: "identity"})
	assert.EqualError(t, ps, `s.yaml:7:14: switches: system shop has no switch "dbug" (did you mean "debug"?)`)
	_, ps = s.With(Choice{Name: "debug"}, Choice{Name: "quiet"})
	assert.EqualError(t, ps, `system.yaml:1:1: switches: debug and quiet do not go together: both set LEVEL`)
}

func TestChoicesHaveTheirPlace(t *testing.T) {
	s, ps := Parse("s.yaml", []byte(`apiVersion: squall/v1
kind: Scenario
metadata: {name: s}
spec:
  hypothesis: It holds.
  system: system.yaml
  switches: [identity, debug]
  load: {script: load.js, arrival: 40/s}
  faults: [{id: f, kind: net-down, on: a -> b}]
  steady: [{id: ok, promql: up, atLeast: 1}]
  expect: [{id: still, promql: up, atLeast: 1}]
`))
	require.Empty(t, ps)
	assert.Equal(t, []Choice{{"identity", Pos{"s.yaml", 7, 14}}, {"debug", Pos{"s.yaml", 7, 24}}}, s.Spec.Switches)
}
