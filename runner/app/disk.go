package app

import (
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"squall/faults/disk"
)

// diskCmd is how a supervisor starts the process that serves data folders.
func (a *app) diskCmd() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:    "disk [NAME BACKING MOUNT]...",
		Short:  "Serve data folders that disk faults are aimed at (started by the supervisor)",
		Hidden: true,
		Args:   cobra.ArbitraryArgs, // volumes
		RunE: func(c *cobra.Command, args []string) error {
			volumes, err := disk.ParseVolumes(args)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("disk: %w", err)
			}
			return disk.Serve(c.Context(), l, volumes)
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address of the API")
	return c
}
