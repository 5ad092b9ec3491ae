// Shop is the sample system of Squall: a small online shop in which every
// mechanism that keeps it standing is one file to read. One binary; the
// subcommand is the service.
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"squall/sample-system/gateway"
	"squall/sample-system/internal/service"
	"squall/sample-system/inventory"
	"squall/sample-system/nats"
	"squall/sample-system/notifications"
	"squall/sample-system/orders"
	"squall/sample-system/payments"
	"squall/sample-system/psp"
)

var services = map[string]service.Setup{
	"gateway":       gateway.Setup,
	"orders":        orders.Setup,
	"payments":      payments.Setup,
	"psp":           psp.Setup,
	"inventory":     inventory.Setup,
	"notifications": notifications.Setup,
	"nats":          nats.Setup,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	os.Exit(code)
}

// run serves the named service until ctx ends; 2 means it was asked for wrongly.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) int {
	if len(args) != 1 || services[args[0]] == nil {
		fmt.Fprintf(stderr, "usage: shop %s\n", strings.Join(slices.Sorted(maps.Keys(services)), "|"))
		return 2
	}
	cfg, err := service.FromEnv(args[0], getenv, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	host, err := service.New(ctx, cfg, services[args[0]])
	if err == nil {
		err = host.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
