// Package roletest lets a test binary be other programs as well: processes of
// squall's own, services that are broken, runners that die.
package roletest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"squall/faults/disk"
	"squall/faults/proxy"
)

// Main plays the role that the first argument names; without one it runs the
// tests, which must leave no goroutine.
func Main(m *testing.M, roles map[string]func(args []string) error, options ...goleak.Option) {
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
	goleak.VerifyTestMain(m, options...)
}

// Proxy is squall proxy: --listen ADDR.
func Proxy(args []string) error {
	return serve(args[1], func(ctx context.Context, l net.Listener) error {
		return proxy.NewServer(proxy.Options{}).Serve(ctx, l)
	})
}

// Disk is squall disk: --listen ADDR VOLUME...
func Disk(args []string) error {
	return serve(args[1], func(ctx context.Context, l net.Listener) error {
		volumes, err := disk.ParseVolumes(args[2:])
		if err != nil {
			return fmt.Errorf("disk: %w", err)
		}
		return disk.Serve(ctx, l, volumes)
	})
}

// serve listens until it is asked to end.
func serve(addr string, do func(context.Context, net.Listener) error) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return do(ctx, l)
}
