package app

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func (a *app) proveCmd() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "prove [FILE|DIR]...",
		Short: "Switch on each defect a scenario claims and require that it turns red by the assertion that claims it",
		Args:  cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("seed") {
				f.seed = drawSeed()
			}
			return a.prove(c.Context(), args, f)
		},
	}
	a.choiceFlags(c, &f.choice)
	c.Flags().StringVar(&f.out, "out", filepath.Join("out", "prove"), "folder of run directories")
	c.Flags().StringVar(&f.k6, "k6", "", "k6 binary with the squall extension (default $SQUALL_K6, else the cached build)")
	c.Flags().IntVar(&f.parallel, "parallel", 1, "runs at once, each on a system of its own")
	c.Flags().Lookup("defect").Usage = "only these defects"
	f.repeat = 1
	return c
}

// claim is one defect that one scenario says it kills.
type claim struct {
	spec.Prove
	file   string
	killed bool
	// skipped: the machine lacks what the scenario needs, so nothing was shown.
	skipped bool
	by      []string // assertions that broke
	note    string
}

// prove runs every claim. A defect is killed only by a verdict of fail, by the
// assertion that claims it where one is named.
func (a *app) prove(ctx context.Context, args []string, f runFlags) error {
	only := f.defects
	f.defects = nil
	ins, err := a.readInputs(args, f.choice)
	if err != nil {
		return err
	}
	var claims []*claim
	for _, in := range ins {
		for _, p := range in.scenario.Spec.Proves {
			if len(only) > 0 && !slices.Contains(only, p.Defect) {
				continue
			}
			c := &claim{Prove: p, file: in.scenario.File}
			if err := a.try(ctx, c, f); err != nil {
				return err
			}
			claims = append(claims, c)
		}
	}
	return a.killTable(claims)
}

func (a *app) try(ctx context.Context, c *claim, f runFlags) error {
	f.defects = []string{c.Defect}
	f.tags = nil
	ins, err := a.readInputs([]string{c.file}, f.choice)
	if err != nil {
		return err
	}
	f.out = filepath.Join(f.out, c.Defect)
	outcomes, err := a.runAll(ctx, ins, f)
	if err != nil {
		return err
	}
	if len(outcomes) == 0 {
		return exitError{code: ExitInterrupted}
	}
	res := outcomes[0].report.Result
	for _, x := range res.Findings {
		if x.Group == "expect" && x.Verdict == verdict.Fail {
			c.by = append(c.by, x.ID)
		}
	}
	c.killed = res.Verdict == verdict.Fail && len(res.Dirty) == 0 && (c.By == "" || slices.Contains(c.by, c.By))
	c.skipped = res.Verdict == verdict.Skipped
	c.note = fmt.Sprintf("%s, %s", res.Verdict, outcomes[0].dir)
	return nil
}

func (a *app) killTable(claims []*claim) error {
	if len(claims) == 0 {
		return usage("prove: no scenario claims a defect")
	}
	t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "defect\tscenario\tclaimed by\tkilled by\trun")
	killed, skipped := 0, 0
	for _, c := range claims {
		by := "SURVIVED"
		switch {
		case c.killed:
			by = fmt.Sprint(c.by)
			killed++
		case c.skipped:
			by = "skipped"
			skipped++
		case len(c.by) > 0:
			by = fmt.Sprintf("WRONG ONE %v", c.by)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Defect, c.file, c.By, by, c.note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	score := fmt.Sprintf("mutation score: %d of %d", killed, len(claims)-skipped)
	if skipped > 0 {
		score += fmt.Sprintf(", %d skipped", skipped)
	}
	fmt.Fprintln(a.Stdout, score)
	if killed < len(claims)-skipped {
		return exitError{code: ExitFail}
	}
	return nil
}
