package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"squall/runner/verdict"
)

// Proof is what came of switching on every defect and weakening every check.
type Proof struct {
	Claims    []Claim  `json:"claims"`
	Clean     []Clean  `json:"clean"`
	Mutants   []Mutant `json:"mutants"`
	Unclaimed []string `json:"unclaimed,omitempty"` // defects of the system that no scenario claims
	Idle      []string `json:"idle,omitempty"`      // assertions, SCENARIO/ID, that no claimed defect turns red
	Earlier   int      `json:"earlier,omitempty"`   // saved runs left out, because their scenario has changed since
}

// Claim is one defect that one scenario says it kills, with each of its runs.
type Claim struct {
	Defect   string  `json:"defect"`
	What     string  `json:"what"` // in the system file's words
	Scenario string  `json:"scenario"`
	Place    string  `json:"place"`        // file:line of the claim
	By       string  `json:"by,omitempty"` // assertion that must be the one to break; empty: any
	Runs     []Trial `json:"runs"`
}

// Clean is a scenario without any defect, which must be green as often.
type Clean struct {
	Scenario string  `json:"scenario"`
	Runs     []Trial `json:"runs"`
}

// Trial is one run.
type Trial struct {
	Dir     string          `json:"dir"`
	Link    string          `json:"link"` // report.html as seen from the proof
	Verdict verdict.Verdict `json:"verdict"`
	Broken  []string        `json:"broken,omitempty"` // assertions
	Good    bool            `json:"good"`             // killed by the right assertion, or green where nothing is broken
	Why     string          `json:"why"`
	Again   string          `json:"again,omitempty"` // why it is the second try, where it is
}

// Mutant is one weakened check.
type Mutant struct {
	Scenario string `json:"scenario"`
	verdict.Mutant
	Noticed string `json:"noticed,omitempty"` // by what: empty: not at all
}

// outcomes of a claim, each worse than the one before: killed, wrong (by another
// assertion than the one that claims it), unclear (a run without a verdict, such
// as one whose load was starved), survived. Without a run it is unseen.
var outcomes = []string{"killed", "wrong", "unclear", "survived"}

// Outcome of a claim in one word, by its worst run.
func (c Claim) Outcome() string {
	if len(c.Runs) == 0 {
		return "unseen"
	}
	worst := 0
	for _, t := range c.Runs {
		if t.Verdict == verdict.Skipped {
			return "skipped"
		}
		worst = max(worst, slices.Index(outcomes, t.outcome()))
	}
	return outcomes[worst]
}

// WorstFirst puts what is not as it should be before what is.
func (p *Proof) WorstFirst() {
	rank := func(right bool) int {
		if right {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(p.Claims, func(a, b Claim) int { return rank(a.right()) - rank(b.right()) })
	slices.SortStableFunc(p.Clean, func(a, b Clean) int { return rank(a.right()) - rank(b.right()) })
}

// right is as it should be, or was skipped.
func (c Claim) right() bool { return c.Outcome() == "killed" || c.Outcome() == "skipped" }
func (c Clean) right() bool { return c.Skipped() || len(c.Runs) > 0 && c.Green() == len(c.Runs) }

// Amiss names in a line what is not as it should be; empty where all is.
func (p Proof) Amiss() string {
	var said []string
	for _, c := range p.Claims {
		if !c.right() {
			said = append(said, fmt.Sprintf("%s %s in %s", c.Defect, c.Outcome(), c.Scenario))
		}
	}
	for _, c := range p.Clean {
		if !c.right() {
			said = append(said, fmt.Sprintf("%s without a defect was green in %d of %d runs", c.Scenario, c.Green(), len(c.Runs)))
		}
	}
	return strings.Join(said, "; ")
}

func (t Trial) outcome() string {
	switch {
	case t.Good:
		return "killed"
	case len(t.Broken) > 0:
		return "wrong"
	case t.Verdict == verdict.Pass:
		return "survived"
	}
	return "unclear"
}

// Broken are the assertions that broke in every run of the claim.
func (c Claim) Broken() (all []string) {
	for i, t := range c.Runs {
		if i == 0 {
			all = t.Broken
			continue
		}
		all = common(all, t.Broken)
	}
	return all
}

func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return !slices.Contains(b, x) })
}

// Green counts the green runs.
func (c Clean) Green() (n int) {
	for _, t := range c.Runs {
		if t.Good {
			n++
		}
	}
	return n
}

// Skipped: the machine lacks what the scenario needs.
func (c Clean) Skipped() bool { return len(c.Runs) > 0 && c.Runs[0].Verdict == verdict.Skipped }

// Score is how many of the claims were killed, without those that were skipped.
func (p Proof) Score() (killed, of int) {
	for _, c := range p.Claims {
		switch c.Outcome() {
		case "killed":
			killed++
			of++
		case "skipped":
		default:
			of++
		}
	}
	return killed, of
}

// CheckScore is how many of the weakened checks were noticed.
func (p Proof) CheckScore() (noticed, of int) {
	for _, m := range p.Mutants {
		if m.Noticed != "" {
			noticed++
		}
	}
	return noticed, len(p.Mutants)
}

// Holds: every defect killed by the right assertion, and every clean run green.
func (p Proof) Holds() bool {
	return p.Amiss() == ""
}

// Honest says what the runs themselves were worth: how many show nothing, and
// how many are second tries. Empty where there is nothing to say.
func (p Proof) Honest() string {
	var runs, again, nothing int
	count := func(all []Trial) {
		for _, t := range all {
			runs++
			if t.Again != "" {
				again++
			}
			if !t.Good && len(t.Broken) == 0 && t.Verdict != verdict.Pass && t.Verdict != verdict.Skipped {
				nothing++
			}
		}
	}
	for _, c := range p.Claims {
		count(c.Runs)
	}
	for _, c := range p.Clean {
		count(c.Runs)
	}
	var said []string
	if nothing > 0 {
		said = append(said, fmt.Sprintf("%d of %d runs show nothing (inconclusive, error or aborted)", nothing, runs))
	}
	if again > 0 {
		said = append(said, fmt.Sprintf("%d of %d are second tries, because the load generator was starved", again, runs))
	}
	if p.Earlier > 0 {
		said = append(said, fmt.Sprintf("%d more were made with an earlier form of their scenario and left out", p.Earlier))
	}
	return strings.Join(said, "; ")
}

// Word of a claim as a verdict, for marks and colours.
func (c Claim) Word() string {
	if o := c.Outcome(); o == "unclear" || o == "unseen" {
		return "inconclusive"
	}
	return map[string]string{"killed": "pass", "skipped": "skipped", "survived": "fail", "wrong": "fail"}[c.Outcome()]
}

// Numbers of the page's head.
func (p Proof) Numbers() map[string]int {
	n := map[string]int{}
	n["Killed"], n["Defects"] = p.Score()
	n["Noticed"], n["Mutants"] = p.CheckScore()
	for _, c := range p.Clean {
		if !c.Skipped() {
			n["Green"] += c.Green()
			n["Clean"] += len(c.Runs)
		}
	}
	return n
}

// ProofText writes the tables for a terminal.
func ProofText(w io.Writer, p Proof) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "defect\tscenario\tclaimed by\toutcome\tbroken in every run")
	for _, c := range p.Claims {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s %d/%d\t%s\n", c.Defect, c.Scenario, c.By, c.Outcome(), c.good(), len(c.Runs), strings.Join(c.Broken(), ", "))
	}
	for _, c := range p.Clean {
		fmt.Fprintf(t, "none\t%s\t\tgreen %d/%d\t\n", c.Scenario, c.Green(), len(c.Runs))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, c := range p.Claims {
		c.complain(w)
		secondTries(w, c.Defect, c.Scenario, c.Runs)
	}
	for _, c := range p.Clean {
		secondTries(w, "none", c.Scenario, c.Runs)
	}
	killed, of := p.Score()
	noticed, mutants := p.CheckScore()
	skipped := ""
	if n := len(p.Claims) - of; n > 0 {
		skipped = fmt.Sprintf(" (%d skipped)", n)
	}
	honest := p.Honest()
	if honest != "" {
		honest += "\n"
	}
	_, err := fmt.Fprintf(w, "mutation score: %d of %d defects%s; %d of %d weakened checks noticed\n%s%s%s", killed, of, skipped, noticed, mutants, honest,
		list("not noticed", p.silent()), list("no defect turns red", p.Idle)+list("claimed by no scenario", p.Unclaimed))
	return err
}

func (c Claim) good() (n int) {
	for _, t := range c.Runs {
		if t.Good {
			n++
		}
	}
	return n
}

// complain says why a claim was not killed.
func (c Claim) complain(w io.Writer) {
	for _, t := range c.Runs {
		if !t.Good && t.Verdict != verdict.Skipped {
			fmt.Fprintf(w, "%s %s in %s: %s: %s (%s)\n", c.Defect, t.outcome(), c.Scenario, t.Verdict, t.Why, t.Dir)
		}
	}
}

// secondTries names the runs that were the second of their kind.
func secondTries(w io.Writer, defect, scenario string, runs []Trial) {
	for _, t := range runs {
		if t.Again != "" {
			fmt.Fprintf(w, "%s was run twice in %s: %s (%s)\n", defect, scenario, t.Again, t.Dir)
		}
	}
}

func (p Proof) silent() (lines []string) {
	for _, m := range p.Mutants {
		if m.Noticed == "" {
			lines = append(lines, fmt.Sprintf("%s/%s: %s", m.Scenario, m.Assertion, m.Change))
		}
	}
	return lines
}

func list(title string, lines []string) (s string) {
	if len(lines) == 0 {
		return ""
	}
	s = title + ":\n"
	for _, l := range lines {
		s += "  " + l + "\n"
	}
	return s
}

var proofTemplate = parse("proof")

// ProofHTML writes the page.
func ProofHTML(w io.Writer, p Proof) error { return render(w, proofTemplate, p) }

// ProofJUnit writes a case for every claim, every clean scenario, and every
// assertion that no defect turns red, which is skipped: it was not put to the test.
func ProofJUnit(w io.Writer, p Proof) error {
	s := junitSuite{Name: "squall prove", Time: "0.000"}
	for _, c := range p.Claims {
		jc := junitCase{Class: "squall.prove." + plain(c.Scenario), Name: plain(c.Defect), Time: "0.000"}
		text := &junitText{Message: plain(c.Outcome() + ": " + c.What), Type: c.Outcome(), Body: plain(fmt.Sprintf("%s, claimed at %s by %s, broken in every run: %s\n%s", c.What, c.Place, c.By, strings.Join(c.Broken(), ", "), p.Honest()))}
		switch c.Outcome() {
		case "killed":
		case "skipped":
			jc.Skipped = text
		case "unclear", "unseen":
			jc.Error = text
		default:
			jc.Failure = text
		}
		s.add(jc)
	}
	for _, c := range p.Clean {
		jc := junitCase{Class: "squall.prove." + plain(c.Scenario), Name: "clean", Time: "0.000"}
		text := &junitText{Message: fmt.Sprintf("%d of %d clean runs were green", c.Green(), len(c.Runs))}
		switch {
		case c.Skipped():
			jc.Skipped = text
		case len(c.Runs) == 0:
			jc.Error = text
		case c.Green() < len(c.Runs):
			jc.Failure = text
		}
		s.add(jc)
	}
	for _, id := range p.Idle {
		s.add(junitCase{Class: "squall.prove.idle", Name: plain(id), Time: "0.000", Skipped: &junitText{Message: "no claimed defect turns it red"}})
	}
	return writeSuites(w, []junitSuite{s})
}
