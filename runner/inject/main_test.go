package inject

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"squall/faults/proxy"
	"squall/runner/targets/process"
)

// roles are what the test binary is beside a test: squall (supervise, proxy),
// the services that faults are tried on, and runners that die.
var roles = map[string]func(args []string) error{
	"supervise": func([]string) error {
		return process.Supervise(context.Background(), process.SuperviseConfig{In: os.Stdin, Out: os.Stdout})
	},
	"proxy":  roleProxy,
	"disk":   roleDisk,
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
	if len(os.Args) > 1 {
		if role, ok := roles[os.Args[1]]; ok {
			code := 0
			if err := role(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
			syscall.Exit(code) // os.Exit sleeps for a second under the race detector
		}
	}
	goleak.VerifyTestMain(m)
}

func roleProxy(args []string) error { // --listen ADDR
	l, err := net.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return proxy.NewServer(proxy.Options{}).Serve(ctx, l)
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
