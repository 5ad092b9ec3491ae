package app

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"squall/runner/lint"
	"squall/scenarios/spec"
)

func (a *app) lintCmd() *cobra.Command {
	var ch choice
	c := &cobra.Command{
		Use:   "lint [FILE|DIR]...",
		Short: "Reason about valid scenarios: what could never show what it asserts",
		Long: `Finds valid scenarios that could never show what they assert: a fault weaker than
the caller's timeout, an edge without traffic, too few samples, and so on (squall list
rules). It exits with 1 where it finds something. A line, or a comment above it, that
says "squall:ignore RULE" is left out.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			ins, err := a.readInputs(args, ch)
			if err != nil {
				return err
			}
			var all spec.Problems
			for _, in := range ins {
				found, err := in.lint()
				if err != nil {
					return err
				}
				if all = append(all, found...); len(found) == 0 {
					fmt.Fprintf(a.Stdout, "%s: ok: %s\n", in.scenario.File, in.scenario.Metadata.Name)
				}
			}
			if len(all) > 0 {
				return exitError{code: ExitFail, err: all}
			}
			return nil
		},
	}
	a.choiceFlags(c, &ch)
	return c
}

// lint reasons about one scenario.
func (in *input) lint() (spec.Problems, error) {
	src, err := os.ReadFile(in.scenario.File)
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	return lint.Run(lint.Case{Scenario: in.scenario, System: in.system, Script: lint.ReadScript(in.script()), Source: src}), nil
}
