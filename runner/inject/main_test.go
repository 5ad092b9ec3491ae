package inject

import (
	"context"
	"fmt"
	"os"
	"testing"

	"squall/runner/roletest"
	"squall/runner/targets/process"
)

// roles are what the test binary is beside a test: squall (supervise, proxy),
// the services that faults are tried on, and runners that die.
var roles = map[string]func(args []string) error{
	"supervise": func([]string) error {
		return process.Supervise(context.Background(), process.SuperviseConfig{In: os.Stdin, Out: os.Stdout})
	},
	"proxy":  roletest.Proxy,
	"disk":   roletest.Disk,
	"web":    roleWeb,
	"work":   roleWork,
	"echo":   roleEcho,
	"rpc":    roleRPC,
	"vault":  roleVault,
	"runner": roleRunner,
	"storm":  roleStorm,
	"lock":   roleLock,
}

func TestMain(m *testing.M) {
	roletest.Main(m, roles)
}

// roleLock registers a run and waits for its death. Its arguments are the state
// folder and the run directory.
func roleLock(args []string) error {
	if _, err := Lock(args[0], args[1]); err != nil {
		return err
	}
	fmt.Println("locked")
	select {}
}
