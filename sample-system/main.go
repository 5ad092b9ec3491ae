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

	"squall/sample-system/autoscaler"
	"squall/sample-system/catalog"
	"squall/sample-system/dlq"
	"squall/sample-system/gateway"
	"squall/sample-system/history"
	"squall/sample-system/internal/identity"
	"squall/sample-system/internal/service"
	"squall/sample-system/inventory"
	"squall/sample-system/issuer"
	"squall/sample-system/legacy"
	"squall/sample-system/nats"
	"squall/sample-system/notifications"
	"squall/sample-system/orders"
	"squall/sample-system/payments"
	"squall/sample-system/postgres"
	"squall/sample-system/psp"
	"squall/sample-system/reviews"
	"squall/sample-system/shipping"
	"squall/sample-system/users"
)

var services = map[string]service.Setup{
	"autoscaler":    autoscaler.Setup,
	"catalog":       catalog.Setup,
	"gateway":       gateway.Setup,
	"history":       history.Setup,
	"inventory":     inventory.Setup,
	"issuer":        issuer.Setup,
	"legacy":        legacy.Setup,
	"nats":          nats.Setup,
	"notifications": notifications.Setup,
	"orders":        orders.Setup,
	"payments":      payments.Setup,
	"postgres":      postgres.Setup,
	"psp":           psp.Setup,
	"reviews":       reviews.Setup,
	"shipping":      shipping.Setup,
	"users":         users.Setup,
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run serves the named service until ctx ends, or runs one of the other commands;
// 2 means that it was asked for wrongly.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "dlq" {
		return dlq.Main(ctx, args[1:], getenv, stdout, stderr)
	}
	if len(args) == 1 && args[0] == "ready" {
		return ready(ctx, getenv, stderr)
	}
	if len(args) != 1 || services[args[0]] == nil {
		fmt.Fprintf(stderr, "usage: shop %s\n       shop dlq list|replay\n       shop ready\n", strings.Join(slices.Sorted(maps.Keys(services)), "|"))
		return 2
	}
	cfg, err := service.FromEnv(args[0], getenv, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	host, err := service.New(ctx, cfg, identity.Protect(services[args[0]]))
	if err == nil {
		err = host.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
