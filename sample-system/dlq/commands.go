package dlq

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"squall/sample-system/internal/bus"
)

type command func(ctx context.Context, b *bus.Bus, out io.Writer) error

// parse understands the arguments or says what is wrong with them.
func parse(args []string) (command, error) {
	if len(args) == 0 {
		return nil, errors.New("say what to do")
	}
	flags := flag.NewFlagSet("dlq", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	asJSON, seq, all := new(bool), new(uint64), new(bool)
	switch args[0] {
	case "list":
		flags.BoolVar(asJSON, "json", false, "")
	case "replay":
		flags.Uint64Var(seq, "seq", 0, "")
		flags.BoolVar(all, "all", false, "")
	default:
		return nil, fmt.Errorf("unknown command %q", args[0])
	}
	if err := flags.Parse(args[1:]); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case args[0] == "list" && *asJSON:
		return listJSON, nil
	case args[0] == "list":
		return list, nil
	case (*seq == 0) != *all:
		return nil, errors.New("replay either --seq N or --all")
	case *all:
		return replayAll, nil
	}
	return func(ctx context.Context, b *bus.Bus, out io.Writer) error { return replay(ctx, b, out, *seq) }, nil
}

// letters are all that there are, or it is an error.
func letters(ctx context.Context, b *bus.Bus) ([]bus.Letter, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return b.Letters(ctx, "")
}

func listJSON(ctx context.Context, b *bus.Bus, out io.Writer) error {
	letters, err := letters(ctx, b)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(letters)
}

func list(ctx context.Context, b *bus.Bus, out io.Writer) error {
	letters, err := letters(ctx, b)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SEQ\tAGE\tCONSUMER\tSUBJECT\tKEY\tDELIVERIES\tREPLAYS\tCAUSE")
	for _, l := range letters {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\n", l.Seq, time.Since(l.At).Round(time.Second), l.Consumer, l.Subject, l.Key, l.Deliveries, l.Replays, l.Cause)
	}
	return w.Flush()
}

// replayAll takes as long as it takes; each of its calls ends by itself.
func replayAll(ctx context.Context, b *bus.Bus, out io.Writer) error {
	var errs []error
	err := b.ReplayAll(ctx, func(seq uint64, err error) {
		if err == nil {
			err = replayed(out, seq)
		}
		errs = append(errs, err)
	})
	return errors.Join(append(errs, err)...)
}

func replay(ctx context.Context, b *bus.Bus, out io.Writer, seq uint64) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := b.Replay(ctx, seq); err != nil {
		return err
	}
	return replayed(out, seq)
}

func replayed(out io.Writer, seq uint64) error {
	_, err := fmt.Fprintf(out, "replayed %d\n", seq)
	return err
}

// reach waits for the connection, but not for long: a person is waiting too.
func reach(ctx context.Context, b *bus.Bus) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := b.Conn().FlushWithContext(ctx); err != nil {
		return fmt.Errorf("reach the bus: %w", err)
	}
	return nil
}
