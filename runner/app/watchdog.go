package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"

	"github.com/spf13/cobra"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/watchdog"
)

func (a *app) watchdogCmd() *cobra.Command {
	var listen, tokenEnv, dir string
	var beside bool
	c := &cobra.Command{
		Use:   "watchdog",
		Short: "Hold the undo of faults near a remote target, and revert them when their runner falls silent",
		Long: `A runner that is named this watchdog in its system file (watchdog: {url, tokenEnv}) gives it every line of its undo
journal before it acts, and renews a lease. When the lease runs out, the watchdog reverts what the journal leaves open: toxics on
stock Toxiproxy servers, proxies that were disabled, services that hooks killed or paused. It must reach what the runner
reached, and have the variables that tokens and hooks are read from.`,
		RunE: func(c *cobra.Command, _ []string) error {
			token := a.Env(tokenEnv)
			if !beside && token == "" {
				return usage("watchdog: --token-env names a variable that is set: callers show its token")
			}
			if beside {
				token, listen, dir = rand.Text(), "127.0.0.1:0", filepath.Join(a.stateDir(), "watchdog", rand.Text())
			} else if dir == "" {
				dir = filepath.Join(a.stateDir(), "watchdog", "served")
			}
			return a.watchdog(c.Context(), listen, token, dir, beside)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8666", "address of its API")
	c.Flags().StringVar(&tokenEnv, "token-env", "SQUALL_WATCHDOG_TOKEN", "variable with the token that callers show")
	c.Flags().StringVar(&dir, "dir", "", "folder of its journals (default: in the state folder)")
	c.Flags().BoolVar(&beside, "beside", false, "as a runner starts it: on any port, and only for that runner")
	_ = c.Flags().MarkHidden("beside") // it exists
	return c
}

func (a *app) watchdog(ctx context.Context, listen, token, dir string, beside bool) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	say := func(line string) { fmt.Fprintln(a.Stderr, line) }
	if beside {
		err = json.NewEncoder(a.Stdout).Encode(watchdog.Greeting{URL: "http://" + l.Addr().String(), Token: token})
	} else {
		say("watchdog on http://" + l.Addr().String())
	}
	if err != nil {
		return err
	}
	return watchdog.Serve(ctx, l, watchdog.Config{
		Dir: dir, Token: token, Once: beside, Say: say,
		Revert: func(ctx context.Context, owner, journal string, say func(string)) error {
			err := inject.Heal(ctx, journal, faults.Builtin(), a.findTarget(ctx), say)
			if err != nil || !beside {
				return err
			}
			return a.settle(ctx, owner, say)
		},
	})
}
