package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"squall/faults"
	"squall/runner/gameday"
	"squall/runner/plan"
	"squall/runner/targets"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func (a *app) gamedayCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "gameday",
		Short: "Break a system together: plan, approve, run, follow, and keep a record worth reading",
		Long: `A game day is an exercise of people on a system, written as a file (squall explain gameday).

  squall gameday plan day.yaml                   resolve it, see what it may break, write day.plan.json
  squall gameday approve day.plan.json --key K   sign the plan's hash with an approver's SSH key
  squall gameday run day.plan.json --dry-run     rehearse: everything but the faults
  squall gameday run day.plan.json               run it; the live page's address is printed
  squall gameday note "p99 is up" --as ana       from any terminal: note, go, detected, ack, mitigated, did, action, abort
  squall gameday verify out/gameday/...          is the record as it was written?`,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage("gameday: unknown command %q\nsee: squall gameday --help", args[0])
			}
			return c.Help()
		},
		Args: cobra.ArbitraryArgs,
	}
	c.AddCommand(a.gamedayPlanCmd(), a.gamedayApproveCmd(), a.gamedayRunCmd(), a.gamedayVerifyCmd(), a.gamedayReportCmd(), a.gamedayReplayCmd(), a.gamedayLinkCmd())
	c.AddCommand(a.gamedaySayCmds()...)
	for _, sub := range c.Commands() {
		sub.Args = usageArgs(sub.Args)
	}
	return c
}

// dayInput is a game day, read, checked and resolved.
type dayInput struct {
	*gameday.Compiled
	files map[string]string // name in the run's input folder -> path
	subs  map[string]*input // its scenarios, by step id
}

// readDay reads a day and everything it names, for the system of a file, by
// default the day's own; made and seed are those of the plan. With problems it may
// be nil, or fit for telling what is different.
func readDay(file, systemFile string, made time.Time, seed uint64) (*dayInput, spec.Problems) {
	day, problems := spec.LoadGameDay(file)
	if day == nil {
		return nil, problems
	}
	script := ""
	if l := day.Spec.Load; l != nil && l.Script != "" {
		script = beside(file, l.Script)
		problems = append(problems, fileMissing(day.Src.At("spec", "load", "script"), "script", script)...)
	}
	systemFile, more := systemOf(file, systemFile, day.Spec.System, day.Src)
	if problems = append(problems, more...); systemFile == "" {
		return nil, problems
	}
	sys, more := loadSystem(systemFile, day.Spec.Switches)
	if problems = append(problems, more...); sys == nil {
		return nil, problems
	}
	in := &dayInput{files: inputFiles(file, systemFile, script, sys), subs: map[string]*input{}}
	sums, problems := checksums(file, in.files, problems)
	given := map[string]gameday.Given{}
	for _, s := range day.Spec.Steps {
		if s.Scenario == "" {
			continue
		}
		sub, more := readSub(beside(file, s.Scenario), systemFile, sys)
		if problems = append(problems, more...); sub == nil {
			continue
		}
		in.subs[s.ID], given[s.ID] = sub, gameday.Given{Scenario: sub.scenario, Inputs: sub.sums}
	}
	compiled, more := gameday.Compile(day, sys, gameday.Options{Made: made, Seed: seed, Registry: faults.Builtin(), Inputs: sums, Here: true, Scenarios: given})
	in.Compiled = compiled
	for id, sub := range in.subs {
		if c := compiled.Subs[id]; c != nil {
			sub.scenario, sub.plan, sub.system = c.Scenario, c.Plan, sys
		}
	}
	return in, append(problems, more...).Unique()
}

// readSub reads a scenario that is a step, for the day's system.
func readSub(file, systemFile string, sys *spec.System) (*input, spec.Problems) {
	sc, problems := spec.Load(file)
	if sc == nil {
		return nil, problems
	}
	script := scriptOf(sc)
	if script != "" {
		problems = append(problems, fileMissing(sc.Src.At("spec", "load", "script"), "script", script)...)
	}
	in := &input{scenario: sc, system: sys, files: inputFiles(file, systemFile, script, sys)}
	in.sums, problems = checksums(file, in.files, problems)
	if judge, ps := verdict.NewJudge(sc, sys); len(ps) == 0 && judge.NeedsSpans() {
		problems = append(problems, spec.Problem{Pos: spec.Pos{File: file, Line: 1, Col: 1}, Msg: "it asks for traces, which are not collected on a game day"})
	}
	return in, problems
}

func (a *app) gamedayPlanCmd() *cobra.Command {
	var out, system string
	var seed uint64
	c := &cobra.Command{
		Use:   "plan FILE",
		Short: "Resolve a game day: targets, share of traffic, worst case, undo; write the plan that is approved and run",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !c.Flags().Changed("seed") {
				seed = drawSeed()
			}
			in, problems := readDay(args[0], system, time.Now(), seed)
			if len(problems) > 0 {
				return exitError{code: ExitUsage, err: problems}
			}
			if out == "" {
				out = in.Plan.Day + ".plan.json"
			}
			if err := os.WriteFile(out, in.Plan.Encode(), 0o644); err != nil {
				return err
			}
			if a.output == "json" {
				_, err := a.Stdout.Write(in.Plan.Encode())
				return err
			}
			if err := in.Plan.Print(a.Stdout); err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "\nwritten to %s\n", out)
			return nil
		},
	}
	c.Flags().StringVarP(&out, "file", "f", "", "where to write the plan (default DAY.plan.json)")
	c.Flags().StringVar(&system, "system", "", "system file in place of the day's: the same day elsewhere, such as on staging")
	c.Flags().Uint64Var(&seed, "seed", 0, "seed of all choices by chance (default: drawn and kept in the plan)")
	return c
}

func readPlan(file string) (*gameday.Plan, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("plan: %v", err)
	}
	p, err := gameday.Decode(data)
	if err != nil {
		return nil, usage("%s: %v", file, err)
	}
	return p, nil
}

func (a *app) gamedayApproveCmd() *cobra.Command {
	var key string
	c := &cobra.Command{
		Use:   "approve PLAN",
		Short: "Sign the plan's hash with an approver's SSH key, beside the plan",
		Long: `Signs the plan's hash with an SSH key whose public half is among the approvers of the system file. The signature
goes to a file beside the plan. It is an SSHSIG signature in the namespace ` + gameday.Namespace + `, over the hash and a
newline, so the same can be done and checked without squall:

  sha256sum day.plan.json | cut -c1-64 | ssh-keygen -Y sign -n ` + gameday.Namespace + ` -f KEY >day.plan.json.ana.sig
  sha256sum day.plan.json | cut -c1-64 | ssh-keygen -Y verify -n ` + gameday.Namespace + ` -f allowed_signers -I ana -s day.plan.json.ana.sig`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.approve(args[0], key) },
	}
	c.Flags().StringVar(&key, "key", "", "private key file (default: the first approver's key that the SSH agent has)")
	return c
}

func (a *app) approve(file, keyFile string) error {
	p, err := readPlan(file)
	if err != nil {
		return err
	}
	if time.Now().After(p.Expires) {
		return usage("the plan expired at %s: plan it again", p.Expires.Format(time.RFC3339))
	}
	day, problems := spec.LoadGameDay(p.File)
	if day == nil || len(problems) > 0 {
		return exitError{code: ExitUsage, err: problems}
	}
	sys, problems := loadSystem(p.SystemFile, day.Spec.Switches)
	if len(problems) > 0 {
		return exitError{code: ExitUsage, err: problems}
	}
	signer, done, err := a.signer(keyFile, sys.Spec.Approvers)
	if err != nil {
		return err
	}
	defer done()
	who := gameday.WhoseKey(signer.PublicKey(), sys.Spec.Approvers)
	if who == "" {
		return usage("this key is no approver's: %s names %s", sys.File, names(sys.Spec.Approvers))
	}
	sig, err := gameday.Sign(p.Hash(), signer)
	if err != nil {
		return err
	}
	if err := p.Print(a.Stdout); err != nil {
		return err
	}
	to := file + "." + who + ".sig"
	if err := os.WriteFile(to, sig, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "\napproved by %s: %s\n", who, to)
	return nil
}

func names(approvers []spec.Approver) string {
	all := make([]string, len(approvers))
	for i, a := range approvers {
		all[i] = a.Name
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, ", ")
}

// signer is a key from a file, or from the agent the first that is an approver's.
func (a *app) signer(file string, approvers []spec.Approver) (ssh.Signer, func(), error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, usage("key: %v", err)
		}
		key, err := ssh.ParsePrivateKey(data)
		var locked *ssh.PassphraseMissingError
		if errors.As(err, &locked) {
			return nil, nil, usage("key %s has a passphrase: add it to the SSH agent (ssh-add %s) and leave --key out", file, targets.Shell(file))
		}
		if err != nil {
			return nil, nil, usage("key %s: %v", file, err)
		}
		return key, func() {}, nil
	}
	conn, err := net.Dial("unix", a.Env("SSH_AUTH_SOCK"))
	if err != nil {
		return nil, nil, usage("no --key, and no SSH agent: %v", err)
	}
	signers, err := agent.NewClient(conn).Signers()
	for _, s := range signers {
		if gameday.WhoseKey(s.PublicKey(), approvers) != "" {
			return s, func() { _ = conn.Close() }, nil
		}
	}
	return nil, nil, errors.Join(usage("the SSH agent has no key of %s", names(approvers)), err, conn.Close())
}

// signatures beside a plan, by file name.
func signatures(plan string) (map[string][]byte, error) {
	out := map[string][]byte{}
	files, err := filepath.Glob(globEscape(plan) + ".*sig")
	if err != nil {
		return nil, err
	}
	for _, f := range append(files, plan+".sig") {
		data, err := os.ReadFile(f)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[filepath.Base(f)] = data
	}
	return out, nil
}

func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// merged has the faults of the day and of its scenarios, for an environment that
// must be able to carry them all.
func (in *dayInput) merged() *plan.Plan {
	p := *in.Live
	for _, sub := range in.subs {
		p.Faults = append(p.Faults[:len(p.Faults):len(p.Faults)], sub.plan.Faults...)
	}
	return &p
}
