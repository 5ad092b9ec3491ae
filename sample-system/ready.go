package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// readyWithin bounds the one look.
const readyWithin = 2 * time.Second

// ready asks the service of this environment, whose image has no other program
// for a health check, whether it is ready; it returns the exit code.
func ready(ctx context.Context, getenv func(string) string, stderr io.Writer) int {
	_, port, err := net.SplitHostPort(cmp.Or(getenv("SHOP_OPS"), getenv("SHOP_LISTEN")))
	if err != nil {
		fmt.Fprintf(stderr, "ready: SHOP_OPS or SHOP_LISTEN: %v\n", err)
		return 2
	}
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort("127.0.0.1", port)+"/readyz", nil)
	if err != nil {
		fmt.Fprintf(stderr, "ready: %v\n", err)
		return 2
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintf(stderr, "ready: %v\n", err)
		return 1
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		fmt.Fprintf(stderr, "ready: %s\n", resp.Status)
		return 1
	}
	return 0
}
