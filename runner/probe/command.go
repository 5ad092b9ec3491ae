package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"squall/runner/record"
)

// Command is a program with its environment.
type Command struct {
	Run     []string
	Env     []string // KEY=value, all of them
	Dir     string
	Timeout time.Duration
}

// lastWords is how long a killed program's children may hold its output open.
const lastWords = 500 * time.Millisecond

// Do runs the program to its end. Value is the exit code; a program that could
// not be started, or had to be killed, gave no answer.
func (c Command) Do(ctx context.Context) record.Probe {
	return timed(ctx, c.Timeout, func(ctx context.Context, p *record.Probe) error {
		cmd := exec.CommandContext(ctx, c.Run[0], c.Run[1:]...)
		cmd.Env, cmd.Dir, cmd.WaitDelay = c.Env, c.Dir, lastWords
		out := &limited{}
		cmd.Stdout, cmd.Stderr = out, out // one writer for both, so exec lets only one write at a time
		ownGroup(cmd)
		err := cmd.Run()
		p.Text = kept(out.Bytes())
		if ctx.Err() != nil {
			return fmt.Errorf("killed after %s", c.Timeout)
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Exited() {
			p.Value = float64(exit.ExitCode())
			return nil
		}
		return err
	})
}

// limited keeps the first of what a program writes and lets it write on.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxText + 1 - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
