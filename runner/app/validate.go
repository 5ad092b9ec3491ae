package app

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) validateCmd() *cobra.Command {
	var ch choice
	c := &cobra.Command{
		Use:   "validate [FILE|DIR]...",
		Short: "Check scenario, system and SLO files; every mistake at once, nothing is started",
		Args:  cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			ins, err := a.readInputs(args, ch)
			if err != nil {
				return err
			}
			for _, in := range ins {
				fmt.Fprintf(a.Stdout, "%s: ok: %s\n", in.scenario.File, in.scenario.Metadata.Name)
			}
			return nil
		},
	}
	a.choiceFlags(c, &ch)
	return c
}

func (a *app) planCmd() *cobra.Command {
	ch := choice{here: true}
	c := &cobra.Command{
		Use:   "plan [FILE|DIR]...",
		Short: "Print the exact resolved timeline and targets, without touching anything",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("seed") {
				ch.seed = drawSeed()
			}
			ins, err := a.readInputs(args, ch)
			if err != nil {
				return err
			}
			return a.printPlans(ins)
		},
	}
	a.choiceFlags(c, &ch)
	return c
}

func (a *app) printPlans(ins []*input) error {
	for i, in := range ins {
		if a.output == "json" {
			if err := writeJSONLine(a.Stdout, in.plan); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.Stdout)
		}
		if err := in.plan.Print(a.Stdout); err != nil {
			return err
		}
	}
	return nil
}
