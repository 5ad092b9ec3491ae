package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"squall/reports"
	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// proveFlags say what is run, or what was, and where the proof goes.
type proveFlags struct {
	runFlags
	from     []string
	markdown string
}

func (a *app) proveCmd() *cobra.Command {
	var f proveFlags
	c := &cobra.Command{
		Use:   "prove [FILE|DIR]...",
		Short: "Switch on each defect a scenario claims and require that it turns red by the assertion that claims it",
		Long: `Every scenario runs once clean and once with each defect that it claims, --repeat times. A defect is killed when every one of
its runs fails by the assertion that claims it; the clean runs must be green. Then each assertion is negated, deleted and
widened, the saved runs are judged again, and what nobody notices is listed. A run whose load generator was starved shows
nothing of the system: it is run once more, which the proof says. Exit code 1: a defect survived, or a clean run was not green.

With --from nothing is run: the proof is made of all saved runs below those folders whose scenario is the same but for comments, by
today's checks. So runs of several days, made by prove or by run --defect, are one track record.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if f.parallel < 1 || f.repeat < 1 {
				return usage("--parallel and --repeat want at least 1")
			}
			if !c.Flags().Changed("seed") {
				f.seed = drawSeed()
			}
			return a.prove(c.Context(), args, f)
		},
	}
	a.choiceFlags(c, &f.choice)
	c.Flags().StringVar(&f.out, "out", filepath.Join("out", "prove"), "folder of run directories")
	c.Flags().StringVar(&f.junit, "junit", "", "also write JUnit XML to this file")
	c.Flags().StringVar(&f.k6, "k6", "", "k6 binary with the squall extension (default $SQUALL_K6, else the cached build)")
	c.Flags().IntVar(&f.parallel, "parallel", 1, "runs at once, each on a system of its own")
	c.Flags().IntVar(&f.repeat, "repeat", 1, "times each defect and each clean scenario runs")
	c.Flags().StringSliceVar(&f.from, "from", nil, "prove by the saved runs below these folders, running nothing")
	c.Flags().StringVar(&f.markdown, "markdown", "", "also write the proof as Markdown to this file")
	c.Flags().Lookup("defect").Usage = "only these defects"
	return c
}

// prove runs every claim, and every scenario that claims one without any defect.
func (a *app) prove(ctx context.Context, args []string, f proveFlags) error {
	only := f.defects
	f.defects, f.here = nil, len(f.from) == 0
	clean, err := a.readInputs(args, f.choice)
	if err != nil {
		return err
	}
	p := &proving{app: a, clean: slices.DeleteFunc(clean, func(in *input) bool { return len(claimed(in, only)) == 0 })}
	if len(p.clean) == 0 {
		return usage("prove: no scenario claims %s", cmpOr(only, "a defect"))
	}
	ins := slices.Clone(p.clean)
	for _, in := range p.clean {
		for _, defect := range defectsOf(claimed(in, only)) {
			c := f.choice
			c.defects = []string{defect}
			with, problems := readInput(in.scenario.File, c)
			if len(problems) > 0 {
				return exitError{code: ExitUsage, err: problems}
			}
			ins = append(ins, with)
		}
	}
	if len(f.from) > 0 {
		if err := p.proveSaved(ctx, ins, f.from); err != nil {
			return err
		}
		p.suite = f.from[0]
		return p.conclude(ctx, only, f)
	}
	f.again = true
	outcomes, err := a.runAll(ctx, ins, f.runFlags)
	if missing := len(ins)*f.repeat - len(outcomes); err != nil || missing > 0 {
		return conclusion(worst(outcomes), missing, err)
	}
	p.outcomes, p.suite = outcomes, filepath.Dir(outcomes[0].dir)
	return p.conclude(ctx, only, f)
}

func cmpOr(only []string, word string) string {
	if len(only) > 0 {
		return fmt.Sprint(only)
	}
	return word
}

// claimed are the claims of a scenario that are to be shown.
func claimed(in *input, only []string) []spec.Prove {
	return slices.DeleteFunc(slices.Clone(in.scenario.Spec.Proves), func(p spec.Prove) bool {
		return len(only) > 0 && !slices.Contains(only, p.Defect)
	})
}

// defectsOf names each defect once: several assertions may claim the same, and one run shows them all.
func defectsOf(claims []spec.Prove) []string {
	names := map[string]bool{}
	for _, c := range claims {
		names[c.Defect] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// proving is one use of squall prove, once all has run.
type proving struct {
	*app
	clean    []*input
	outcomes []*outcome
	suite    string // folder of the runs
	earlier  int    // runs of an earlier form of their scenario
	taken    map[string]bool
}

func (p *proving) conclude(ctx context.Context, only []string, f proveFlags) error {
	proof := p.proof(only)
	err := errors.Join(p.mutate(ctx, &proof, only), writeJSON(filepath.Join(p.suite, "proof.json"), proof))
	for file, write := range map[string]func(io.Writer, reports.Proof) error{
		filepath.Join(p.suite, "proof.html"): reports.ProofHTML, f.junit: reports.ProofJUnit, f.markdown: reports.ProofMarkdown,
	} {
		if file != "" {
			err = errors.Join(err, writeFile(file, func(w io.Writer) error { return write(w, proof) }))
		}
	}
	if p.output == "json" {
		err = errors.Join(err, writeJSONLine(p.Stdout, proof))
	} else {
		err = errors.Join(err, reports.ProofText(p.Stdout, proof))
		fmt.Fprintln(p.Stdout, filepath.Join(p.suite, "proof.html"))
	}
	switch code := worst(p.outcomes); {
	case err != nil:
		return err
	case code == ExitDirty || code == ExitInterrupted:
		return exitError{code: code}
	case !proof.Holds():
		return exitError{code: ExitFail}
	}
	return nil
}

func (p *proving) proof(only []string) (proof reports.Proof) {
	proof.Earlier = p.earlier
	unclaimed := map[string]string{}
	for _, in := range p.clean {
		name := in.scenario.Metadata.Name
		if in.system.Spec.Defects != nil {
			maps.Copy(unclaimed, in.system.Spec.Defects.Known)
		}
		proof.Clean = append(proof.Clean, reports.Clean{Scenario: name, Runs: p.trials(in, spec.Prove{})})
		broken := map[string]bool{}
		for _, claim := range claimed(in, only) {
			c := reports.Claim{Defect: claim.Defect, What: in.system.Spec.Defects.Known[claim.Defect], Scenario: name,
				Place: fmt.Sprintf("%s:%d", claim.Pos.File, claim.Pos.Line), By: claim.By, Runs: p.trials(in, claim)}
			for _, id := range c.Broken() {
				broken[id] = true
			}
			proof.Claims = append(proof.Claims, c)
		}
		for _, check := range in.scenario.Spec.Expect {
			if p.seen(in, only) && !broken[check.ID] && !proof.Clean[len(proof.Clean)-1].Skipped() {
				proof.Idle = append(proof.Idle, name+"/"+check.ID)
			}
		}
	}
	for _, c := range proof.Claims {
		delete(unclaimed, c.Defect)
	}
	if len(only) == 0 {
		for _, d := range slices.Sorted(maps.Keys(unclaimed)) {
			proof.Unclaimed = append(proof.Unclaimed, d+" "+unclaimed[d])
		}
	}
	proof.WorstFirst()
	return proof
}

// of are the outcomes of a scenario under a defect, or clean.
func (p *proving) of(in *input, defect string) (found []*outcome) {
	for _, o := range p.outcomes {
		if o.in.scenario.File == in.scenario.File && slices.Equal(o.in.plan.Defects, words(defect)) {
			found = append(found, o)
		}
	}
	return found
}

// words are those that are not empty, and never nil.
func words(all ...string) []string {
	return slices.DeleteFunc(append([]string{}, all...), func(s string) bool { return s == "" })
}

func (p *proving) trials(in *input, claim spec.Prove) (out []reports.Trial) {
	for _, o := range p.of(in, claim.Defect) {
		res := o.row.Result
		link, err := filepath.Rel(p.suite, filepath.Join(o.dir, "report.html"))
		if err != nil {
			link = filepath.Join(o.dir, "report.html") // the one is absolute, the other is not
		}
		out = append(out, reports.Trial{Dir: o.dir, Link: filepath.ToSlash(link), Verdict: res.Verdict, Broken: broken(res),
			Why: res.Sentence, Good: good(res, claim), Again: o.again})
	}
	return out
}

func broken(res verdict.Result) (ids []string) {
	for _, x := range res.Findings {
		if x.Group == "expect" && x.Verdict == verdict.Fail {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// good is a green run where nothing is broken, and else one that fails by the
// assertion that claims the defect, where one is named.
func good(res verdict.Result, claim spec.Prove) bool {
	if len(res.Dirty) > 0 {
		return false
	}
	if claim.Defect == "" {
		return res.Verdict == verdict.Pass
	}
	return res.Verdict == verdict.Fail && (claim.By == "" || slices.Contains(broken(res), claim.By))
}

// mutate weakens every assertion and judges the saved runs again.
func (p *proving) mutate(ctx context.Context, proof *reports.Proof, only []string) error {
	for i, in := range p.clean {
		if proof.Clean[i].Skipped() || !p.seen(in, only) {
			continue
		}
		name := in.scenario.Metadata.Name
		for _, check := range in.scenario.Spec.Expect {
			m := reports.Mutant{Scenario: name, Mutant: verdict.Mutant{Assertion: check.ID, Change: "negated", Pos: check.Pos}}
			if p.negationNoticed(in, check.ID) {
				m.Noticed = "the clean run"
			}
			proof.Mutants = append(proof.Mutants, m)
		}
		weakened, err := p.weakened(ctx, in, only)
		if err != nil {
			return err
		}
		proof.Mutants = append(proof.Mutants, weakened...)
	}
	return nil
}

// seen: there is a run of the scenario with a defect that it claims.
func (p *proving) seen(in *input, only []string) bool {
	return slices.ContainsFunc(claimed(in, only), func(c spec.Prove) bool { return len(p.of(in, c.Defect)) > 0 })
}

// negationNoticed: an assertion that holds in the clean run would break turned around.
func (p *proving) negationNoticed(in *input, id string) bool {
	for _, o := range p.of(in, "") {
		for _, f := range o.row.Result.Findings {
			if f.Group == "expect" && f.ID == id && f.Verdict == verdict.Pass {
				return true
			}
		}
	}
	return false
}

// weakened judges the runs of a scenario under its defects by every weaker form
// of its assertions. One is noticed by the defect that it would not kill any
// more, though the scenario as it is does. Each record is read once, and let go.
func (p *proving) weakened(ctx context.Context, in *input, only []string) ([]reports.Mutant, error) {
	var all []reports.Mutant
	for _, m := range verdict.Mutants(in.scenario) {
		mutant := reports.Mutant{Scenario: in.scenario.Metadata.Name, Mutant: m}
		if _, problems := verdict.NewJudge(m.Scenario, in.system); len(problems) > 0 {
			mutant.Noticed = "validation: " + problems[0].Msg
		}
		all = append(all, mutant)
	}
	for _, claim := range claimed(in, only) {
		for _, o := range p.of(in, claim.Defect) {
			if !good(o.row.Result, claim) {
				continue
			}
			run, err := record.Open(o.dir)
			if err != nil {
				return nil, err
			}
			for i, m := range all {
				decides := slices.Contains(broken(o.row.Result), m.Assertion) // else nothing changes
				if decides && m.Noticed == "" && !good(judged(ctx, m.Mutant.Scenario, in.system, run), claim) {
					all[i].Noticed = claim.Defect
				}
			}
		}
	}
	return all, nil
}

// judged is the verdict of a scenario that is known to be in order.
func judged(ctx context.Context, sc *spec.Scenario, sys *spec.System, run *record.Run) verdict.Result {
	judge, _ := verdict.NewJudge(sc, sys)
	return judge.Judge(ctx, run)
}
