package app

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"squall/faults/proxy"
	"squall/runner/targets/process"
)

func (a *app) proxyCmd() *cobra.Command {
	var listen, tokenEnv string
	c := &cobra.Command{
		Use:   "proxy",
		Short: "Run the link proxy: Toxiproxy's HTTP API plus stages, leases, receipts and the wire log",
		RunE: func(c *cobra.Command, _ []string) error {
			token := a.Env(tokenEnv)
			if tokenEnv != "" && token == "" {
				return usage("proxy: %s is not set: it is to have the token", tokenEnv)
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("proxy: %w", err)
			}
			fmt.Fprintf(a.Stdout, "proxy API on http://%s\n", l.Addr())
			return proxy.NewServer(proxy.Options{Token: token}).Serve(c.Context(), l)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8474", "address of the HTTP API; without a token keep it on loopback")
	c.Flags().StringVar(&tokenEnv, "token-env", "", "variable with the token that callers of the API must show (Authorization: Bearer)")
	return c
}

// superviseCmd is how a runner starts the supervisor of a process target; they
// talk over standard input and output.
func (a *app) superviseCmd() *cobra.Command {
	return &cobra.Command{
		Use:    "supervise",
		Short:  "Hold the processes of one system (started by the runner)",
		Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			return process.Supervise(c.Context(), process.SuperviseConfig{In: a.Stdin, Out: a.Stdout})
		},
	}
}
