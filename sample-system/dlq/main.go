// Package dlq is the command that lists and replays dead letters.
package dlq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/defect"
)

const usage = `usage: shop dlq list [--json]
       shop dlq replay --seq N | --all

Lists or replays the dead letters on the bus at NATS_URL (host:port[,host:port...]).
`

// limit bounds a command that a person waits for.
const limit = 30 * time.Second

// Main runs `shop dlq list|replay` and returns the exit code: 1 for a failure,
// 2 for wrong usage.
func Main(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	run, err := parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "%s\n%s", err, usage)
		return 2
	}
	defects, err := defect.Parse(getenv("SHOP_DEFECTS"))
	if err != nil || getenv("NATS_URL") == "" {
		fmt.Fprintln(stderr, errors.Join(err, errors.New("NATS_URL is needed, host:port[,host:port...]")))
		return 2
	}
	b, err := bus.Dial(getenv("NATS_URL"), "shop-dlq", defects)
	if err == nil {
		defer b.Close()
		err = reach(ctx, b)
	}
	if err == nil {
		err = run(ctx, b, stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}
