package app_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/app"
	"squall/runner/targets/remote"
	"squall/scenarios/spec"
)

// stagingPage is the system file of the page about staging.
func stagingPage(t *testing.T) string {
	t.Helper()
	files := blocks(t, "../../docs/how-to/staging.md", "yaml")
	require.Len(t, files, 1)
	return files[0]
}

// The file of the page is valid beside SLOs, and what a scenario on it does is
// planned. Its commands, which would need the machines that it names, are known.
func TestStagingPageIsValid(t *testing.T) {
	page, begin := stagingPage(t), shellWords(commands(t, "../../docs/tutorial.md")[0])
	said := blocks(t, "../../docs/how-to/staging.md", "text")
	require.NotEmpty(t, said)
	for _, line := range strings.Split(strings.TrimSpace(strings.Join(said, "")), "\n") {
		requireKnown(t, shellWords(line)[1:])
	}
	t.Chdir(t.TempDir())
	code, _, why := command(t, begin[1:]...)
	require.Equal(t, app.ExitPass, code, why)
	file := filepath.Join("squall", "staging.yaml")
	require.NoError(t, os.WriteFile(file, []byte(page), 0o600))
	require.NoError(t, os.WriteFile("squall/hang.yaml", []byte(`apiVersion: squall/v1
kind: Scenario
metadata: {name: hang}
spec:
  hypothesis: Nobody waits for orders for long.
  system: staging.yaml
  faults: [{id: hang, kind: net-latency, on: gateway -> orders, params: {latency: 8s}}]
  steady: [{id: answers, slo: requests, atLeast: 95%}]
  expect: [{id: waits-end, timeout: {edge: gateway -> orders, waitAtMost: 2s}, during: fault}]
`), 0o600))
	code, planned, why := command(t, "plan", "squall/hang.yaml")
	require.Equal(t, app.ExitPass, code, why)
	assert.Contains(t, planned, "inject hang: net-latency")
}

// What stands in for programs that cannot be had here, a cluster and a machine with
// systemd, as far as the hooks of the page ask them: the words reach a shell as ssh
// hands them on, units are processes, and a pod is a file.
var stagingPrograms = map[string]string{
	"ssh":  `shift; exec sh -c "$*"`,
	"sudo": `exec "$@"`,
	"systemctl": `unit=$HOME/orders.pid
pid=$(cat "$unit")
case $(ps -o stat= -p "$pid") in ""|Z*) pid=0;; esac
case "$*" in
"show -p MainPID --value orders") echo "$pid";;
"kill -s "*" orders") [ "$pid" != 0 ] && kill -s "$3" "$pid";;
"stop orders") [ "$pid" = 0 ] || kill "$pid";;
"start orders") setsid sleep 300 >/dev/null 2>&1 & echo $! >"$unit";;
*) echo "unknown: $*" >&2; exit 1;;
esac`,
	"kubectl": `[ "$1 $2" = "-n shop" ] || exit 1
shift 2
case "$*" in
"get pod payments-0 --ignore-not-found -o jsonpath={.status.containerStatuses[0].state.running.startedAt}") cat "$HOME/pod" 2>/dev/null || true;;
"scale statefulset/payments --replicas=0") touch "$HOME/scaled";;
"delete pod payments-0 --ignore-not-found --force --grace-period=0") [ -e "$HOME/scaled" ] && rm -f "$HOME/pod";;
"scale statefulset/payments --replicas=1") rm -f "$HOME/scaled"; date +%s%N >"$HOME/pod";;
*) echo "unknown: $*" >&2; exit 1;;
esac`,
}

// The hooks of the page do what they say: what they killed is dead and then another
// one, what they paused stands still and is then the same.
func TestHooksOfTheStagingPage(t *testing.T) {
	home := t.TempDir()
	bin := filepath.Join(home, "bin")
	require.NoError(t, os.Mkdir(bin, 0o700))
	for name, script := range stagingPrograms {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	}
	build := exec.Command("go", "build", "-o", filepath.Join(home, "tutorial"), "../../docs/tutorial")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("HOME", home)
	run := func(t *testing.T, program string, args ...string) {
		t.Helper()
		out, err := exec.Command(program, args...).CombinedOutput()
		require.NoError(t, err, "%s %v: %s", program, args, out)
	}
	container := fmt.Sprintf("squall-stock-%d", os.Getpid())
	page := strings.NewReplacer("inspect, stock", "inspect, "+container, "kill, stock", "kill, "+container,
		"start, stock", "start, "+container, "pause, stock", "pause, "+container).Replace(stagingPage(t))
	sys, problems := spec.ParseSystem("staging.yaml", []byte(page))
	require.Empty(t, problems)
	sys, problems = sys.With()
	require.Empty(t, problems)
	env := remote.New(remote.Config{System: sys, Getenv: os.Getenv})

	for service, c := range map[string]struct {
		pauses bool
		begin  func(t *testing.T)
	}{
		"orders": {true, func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(home, "orders.pid"), []byte("0"), 0o600))
			run(t, "systemctl", "start", "orders")
			t.Cleanup(func() { run(t, "systemctl", "stop", "orders") })
		}},
		"payments": {false, func(t *testing.T) {
			run(t, "kubectl", "-n", "shop", "scale", "statefulset/payments", "--replicas=1")
		}},
		"stock": {true, func(t *testing.T) {
			if exec.Command("docker", "info").Run() != nil {
				t.Skip("there is no docker")
			}
			run(t, "docker", "context", "create", "staging", "--docker", "host=unix:///var/run/docker.sock")
			run(t, "sh", "-c", "tar -C "+home+` -c tutorial | docker import --change 'ENTRYPOINT ["/tutorial"]' - `+container)
			t.Cleanup(func() { run(t, "docker", "image", "rm", "-f", container) })
			run(t, "docker", "run", "-d", "--name", container, container, "stock", "-listen", ":8080")
			t.Cleanup(func() { run(t, "docker", "rm", "-f", container) })
		}},
	} {
		t.Run(service, func(t *testing.T) {
			c.begin(t)
			ctx := t.Context()
			target, err := env.Target(service)
			require.NoError(t, err)
			p := target.(faults.Process)
			says := func(id faults.ProcessID, want string) {
				t.Helper()
				require.Eventually(t, func() bool {
					state, err := p.State(ctx, id)
					require.NoError(t, err)
					return state == want
				}, 10*time.Second, 20*time.Millisecond, want)
			}
			first, err := p.Identity(ctx)
			require.NoError(t, err)
			says(first, "running")
			if c.pauses {
				require.NoError(t, p.Signal(ctx, first, "STOP"))
				says(first, "stopped")
				require.NoError(t, p.Signal(ctx, first, "CONT"))
				says(first, "running")
			} else {
				require.ErrorContains(t, p.Signal(ctx, first, "STOP"), "no hook pause")
			}
			require.NoError(t, p.Signal(ctx, first, "KILL"))
			says(first, "dead")
			_, err = p.Identity(ctx)
			require.ErrorIs(t, err, faults.ErrNotRunning)
			require.NoError(t, p.Start(ctx))
			second, err := p.Identity(ctx)
			require.NoError(t, err)
			assert.NotEqual(t, first, second)
			says(second, "running")
			require.ErrorIs(t, p.Signal(ctx, first, "KILL"), faults.ErrNotRunning, "of the first start")
			says(second, "running")
		})
	}
}
