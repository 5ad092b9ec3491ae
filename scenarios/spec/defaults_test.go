package spec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const withDefaults = `apiVersion: squall/v1
kind: System
metadata: {name: shop}
spec:
  target: process
  defaults:
    ports: [http, ops]
    port: ops
    env: {NAME: "${name}", DATA: "${data}", CERTS: "${shared}/certs"}
    ready: {http: /readyz, within: 5s}
    metrics: /metrics
    stop: 9s
  services:
    plain:
      command: [shop, plain]
    own:
      command: [shop, own]
      ports: [http]
      port: http
      env: {DATA: none, MORE: "${self.http}"}
      ready: {http: /livez}
      stop: 3s
    merged: &merged
      command: [shop, merged]
      env: {MORE: x}
    merging:
      <<: *merged
      command: [shop, merging]
  edges:
    client -> plain: {protocol: http, env: PLAIN_URL}
`

func TestDefaults(t *testing.T) {
	s, ps := ParseSystem("system.yaml", []byte(withDefaults))
	require.Empty(t, ps)
	plain, own, merging := s.Spec.Services["plain"], s.Spec.Services["own"], s.Spec.Services["merging"]
	assert.Equal(t, []string{"http", "ops"}, plain.Ports)
	assert.Equal(t, []any{"ops", "/readyz", "5s", "/metrics", "9s"}, []any{plain.Port, plain.Ready.HTTP, plain.Ready.Within.String(), plain.Metrics, plain.Stop.String()})
	assert.Equal(t, map[string]string{"NAME": "${name}", "DATA": "${data}", "CERTS": "${shared}/certs"}, plain.Env)

	assert.Equal(t, []string{"http"}, own.Ports)
	assert.Equal(t, []any{"http", "/livez", "20s", "/metrics", "3s"}, []any{own.Port, own.Ready.HTTP, own.Ready.Within.String(), own.Metrics, own.Stop.String()},
		"what a service gives is its own, whole, even if it is what is usual")
	assert.Equal(t, map[string]string{"NAME": "${name}", "DATA": "none", "CERTS": "${shared}/certs", "MORE": "${self.http}"}, own.Env, "variable by variable")

	assert.Equal(t, []string{"shop", "merging"}, merging.Command)
	assert.Equal(t, map[string]string{"NAME": "${name}", "DATA": "${data}", "CERTS": "${shared}/certs", "MORE": "x"}, merging.Env, "also over a merged one")
}

// The defaults are of no more use than a service: too many of both are refused
// before they are filled in.
func TestDefaultsOfManyServicesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("spec:\n  defaults:\n    env:\n")
	for i := range 500 {
		fmt.Fprintf(&b, "      V%d: x\n", i)
	}
	b.WriteString("  services:\n")
	for i := range 500 {
		fmt.Fprintf(&b, "    s%d: {command: [x]}\n", i)
	}
	_, ps := ParseSystem("system.yaml", []byte(b.String()))
	assert.EqualError(t, ps, "system.yaml:3:5: defaults: more than 100000 values once every service has them")
}
