//go:build e2e

package app_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/app"
)

// Both are the same three programs, whose api prints the password that it was given.
var secretive = map[string]string{
	"process": `apiVersion: squall/v1
kind: System
metadata: {name: foreign}
spec:
  target: process
  defaults: {ports: [http], env: {LISTEN: "${self.http}", DATA: "${data}"}}
  services:
    store: {command: [./foreign, store], ready: {tcp: http}}
    api: {command: [./foreign, api], ready: {http: /ready}, secrets: [STORE_PASSWORD]}
  edges:
    client -> api: {protocol: http, env: API_URL}
    api -> store: {protocol: tcp, env: STORE_URL}
`,
	"compose": `apiVersion: squall/v1
kind: System
metadata: {name: foreign}
spec:
  target: compose
  compose: {files: [told.yml]}
  services:
    store: {at: {http: "7000"}, ready: {tcp: http}}
    api: {at: {http: "8080"}, ready: {http: /ready}, secrets: [STORE_PASSWORD]}
  edges:
    client -> api: {protocol: http, env: API_URL}
    api -> store: {protocol: tcp, env: STORE_URL}
`,
}

// A password from squall's environment reaches the service that wants it, and
// nothing else that is written or shown, though the service prints it.
func TestE2ESecretsOfServices(t *testing.T) {
	for target, system := range secretive {
		t.Run(target, func(t *testing.T) {
			if target == "compose" && exec.Command("docker", "info").Run() != nil {
				t.Skip("there is no docker")
			}
			b := newBench(t)
			require.NoError(t, os.MkdirAll(filepath.Join(b.dir, "data"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(b.dir, "data", "keep"), nil, 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(b.dir, "system.yaml"), []byte(system), 0o644))
			foreign := filepath.Join(b.repo, "runner", "targets", "process", "testdata", "foreign")
			testdata := filepath.Join(b.repo, "runner", "squalltest", "testdata")
			sh := exec.Command("bash", "-ec", `CGO_ENABLED=0 go build -o "$DIR/foreign" "$FOREIGN"
				cp "$FOREIGN"/told.yml "$FOREIGN"/Dockerfile "$TESTDATA"/ask.js "$DIR"
				sed -e 's/name: store-slow/name: others/' -e 's/declared by the test/system.yaml/' "$TESTDATA"/store-slow.yaml >"$DIR"/others.yaml`)
			sh.Env = append(os.Environ(), "DIR="+b.dir, "FOREIGN="+foreign, "TESTDATA="+testdata)
			out, err := sh.CombinedOutput()
			require.NoError(t, err, "%s", out)

			run := b.command("run", "--output", "plain", "others.yaml")
			run.Env = append(run.Env, "STORE_PASSWORD="+planted)
			code := watched(t, b.dir, run)
			assert.Contains(t, []int{app.ExitPass, app.ExitInconclusive}, code, "inconclusive where the machine starves the load")
			log, err := os.ReadFile(filepath.Join(b.dir, "out", "latest", "others", "logs", "api.log"))
			require.NoError(t, err)
			assert.Contains(t, string(log), "[STORE_PASSWORD]")
			b.nothingLeft()
		})
	}
}
