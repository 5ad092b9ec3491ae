package process

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"squall/faults"
	"squall/runner/roletest"
	"squall/scenarios/spec"
)

// The test binary is also squall (supervise, proxy) and the services of the
// systems under test.
func TestMain(m *testing.M) {
	roles := map[string]func(args []string) error{
		"supervise": func([]string) error {
			return Supervise(context.Background(), SuperviseConfig{In: os.Stdin, Out: os.Stdout})
		},
		"proxy":          roletest.Proxy,
		"disk":           roletest.Disk,
		"serve":          roleServe,
		"work":           roleWork,
		"crash":          roleCrash,
		"unlucky":        roleUnlucky,
		"stubborn":       roleStubborn,
		"daemon":         roleDaemon,
		"runner":         roleRunner,
		"injector":       roleInjector,
		"mute":           roleMute,
		"quits":          roleQuits,
		"knows":          roleKnows,
		"compose-runner": roleComposeRunner,
	}
	roletest.Main(m, roles, goleak.Cleanup(func(code int) {
		os.RemoveAll(staticDir)
		os.Exit(code)
	}))
}

// roleMute is a supervisor that makes everything and then does not greet.
func roleMute([]string) error {
	if _, err := newSupervisor(bufio.NewReader(os.Stdin)); err != nil {
		return err
	}
	select {}
}

// roleServe is an HTTP service: /env/NAME answers a variable, /via/NAME what
// the service behind that variable's URL answers to /env/SELF.
func roleServe(args []string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/env/{name}", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, os.Getenv(r.PathValue("name")))
	})
	mux.HandleFunc("/via/{name}", func(w http.ResponseWriter, r *http.Request) {
		resp, err := http.Get(os.Getenv(r.PathValue("name")) + "/env/SELF")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		_, _ = io.Copy(w, resp.Body)
	})
	fmt.Println("serving on", args[0])
	return http.ListenAndServe(args[0], mux)
}

func roleCrash([]string) error {
	fmt.Println("cannot open the database")
	os.Exit(3)
	return nil
}

// roleUnlucky loses its port to somebody else the first time; its second
// argument is a file that remembers.
func roleUnlucky(args []string) error {
	if _, err := os.Stat(args[1]); err == nil {
		return roleServe(args)
	}
	if err := os.WriteFile(args[1], []byte(args[0]), 0o600); err != nil {
		return err
	}
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	return roleServe(args)
}

// roleStubborn serves and ignores SIGTERM.
func roleStubborn(args []string) error {
	signal.Ignore(syscall.SIGTERM)
	return roleServe(args)
}

// roleDaemon leaves a process behind that is in a session of its own, and serves.
func roleDaemon(args []string) error {
	cmd := exec.Command(os.Args[0], "stubborn", args[1])
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return roleServe(args[:1])
}

// roleRunner is a runner: it brings a system up, says its locator, and renews
// until it is killed. Its arguments are its folder and its lease; with a third,
// one of its services does not end when it is asked.
func roleRunner(args []string) error {
	lease, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	cfg := testConfig(args[0], lease)
	if len(args) > 2 {
		back := cfg.System.Spec.Services["back"]
		back.Command[1], back.Stop = "stubborn", spec.Duration(time.Hour)
		cfg.System.Spec.Services["back"] = back
	}
	env := New(cfg)
	if err := env.Up(context.Background()); err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(env.Locator()); err != nil {
		return err
	}
	for range time.Tick(lease / 5) {
		if err := env.Renew(context.Background()); err != nil {
			return err
		}
	}
	return nil
}

// roleInjector is a runner that injects a fault of the kind into the service
// "back" of a system that others keep, says so, and renews until it is killed.
// Its arguments are the locator, the kind and the lease.
func roleInjector(args []string) error {
	lease, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	ctx := context.Background()
	env, err := Attach(ctx, json.RawMessage(args[0]))
	if err != nil {
		return err
	}
	target, err := env.Target("back")
	if err != nil {
		return err
	}
	fault, err := faults.Builtin()[args[1]].New(spec.NodeFrom(map[string]any{}).Decode)
	if err != nil {
		return err
	}
	x := faults.Injection{ID: "f", Target: target, Owner: "run/1", Lease: lease}
	undo, err := fault.Prepare(ctx, x)
	if err != nil {
		return err
	}
	if err := fault.Inject(ctx, x); err != nil {
		return err
	}
	fmt.Println(string(undo))
	for range time.Tick(lease / 5) {
		if err := env.Renew(ctx, "run/1", lease); err != nil {
			return err
		}
	}
	return nil
}

func testConfig(dir string, lease time.Duration) Config {
	return Config{
		System: pairSystem(dir), Defects: []string{"D2"}, RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "state"),
		Self: []string{os.Args[0]}, Owner: "run/1", Lease: lease,
	}
}

// pairSystem is client -> front -> back.
func pairSystem(dir string) *spec.System {
	serve := func(defects ...string) spec.Service {
		return spec.Service{
			Command: []string{os.Args[0], "serve", "${self.http}"},
			Env:     map[string]string{"SELF": "${self.http}", "DATA": "${data}"},
			Ports:   []string{"http"}, Port: "http", Metrics: "/metrics",
			Ready:   spec.Ready{HTTP: "/ready", Within: spec.Duration(20 * time.Second)},
			Defects: defects, Stop: spec.Duration(time.Second),
		}
	}
	return &spec.System{
		File: filepath.Join(dir, "system.yaml"), Metadata: spec.Metadata{Name: "pair"},
		Spec: spec.SystemSpec{
			Target:   "process",
			Services: map[string]spec.Service{"front": serve("D1", "D2"), "back": serve("D1")},
			Edges: spec.Edges{
				{Caller: "client", Callee: "front", Protocol: "http", Env: "FRONT_URL", Port: "http"},
				{Caller: "front", Callee: "back", Protocol: "http", Env: "BACK_URL", Port: "http"},
			},
			Defects: &spec.Defects{Env: "DEFECTS", Known: map[string]string{"D1": "one", "D2": "two"}},
		},
	}
}

// up brings an environment up and has the test end it.
func up(t *testing.T, cfg Config) *Environment {
	t.Helper()
	env := New(cfg)
	t.Cleanup(func() {
		require.NoError(t, env.Down(context.Background()))
		for _, name := range []string{supervisorName, proxyName} {
			log, err := os.ReadFile(filepath.Join(cfg.RunDir, "logs", name+".log"))
			require.NoError(t, err)
			require.NotContains(t, string(log), "DATA RACE")
		}
	})
	require.NoError(t, env.Up(t.Context()))
	return env
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text)
}
