package app_test

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"squall/runner/app"
)

var update = flag.Bool("update", false, "rewrite the expected output in the scripts")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"squall":              program,
		"squall-test-service": service,
		"squall-test-hook":    hook,
	})
}

// program is squall. The race detector has every process sleep for a second
// before it ends, while others wait for it; only its environment, as it starts,
// can tell it not to.
func program() {
	const name, value = "GORACE", "atexit_sleep_ms=0"
	info, _ := debug.ReadBuildInfo()
	if slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) && os.Getenv(name) != value {
		self, err := os.Executable()
		if err == nil {
			err = syscall.Exec(self, os.Args, append(os.Environ(), name+"="+value))
		}
		panic(err)
	}
	os.Exit(app.Main(app.FromOS()))
}

// TestScripts runs the command-line tests that start no system.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		Setup:         shopFiles,
		UpdateScripts: *update,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"code": code},
	})
}

// shopFiles tells a script where the repository is: $REPO.
func shopFiles(env *testscript.Env) error {
	repo, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	env.Setenv("REPO", repo)
	env.Setenv("SQUALL_STATE", filepath.Join(env.WorkDir, "state"))
	env.Setenv("NO_COLOR", "1")
	return nil
}

// code runs a command and requires its exit code: code 3 squall run x.yaml.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command [args]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v: exit code %d, want %d", args[1:], got, want)
	}
}
