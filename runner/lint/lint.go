// Package lint reasons about scenarios that are valid: it finds those that
// could never show what they assert. One file is one rule; a rule reports what
// must be so, never what merely may be, since a linter that cries wolf is
// switched off.
package lint

import (
	"fmt"
	"slices"
	"strings"

	"squall/scenarios/spec"
)

// Rule is one thing that a scenario can get wrong though it is valid.
type Rule struct {
	Name    string // "weak-fault"
	Summary string // one line
	Doc     string // why it matters, and what to do

	find func(c *Case)
}

// rules is written by the init functions of the rule files and never after.
var rules []Rule

func builtin(r Rule) { rules = append(rules, r) }

// Rules are all rules in order of their names.
func Rules() []Rule {
	return slices.SortedFunc(slices.Values(rules), func(a, b Rule) int { return strings.Compare(a.Name, b.Name) })
}

// Case is a valid scenario with what it refers to.
type Case struct {
	Scenario *spec.Scenario
	System   *spec.System // as it is run: spec.System.With
	Script   string       // text of the load script and of what it imports, see ReadScript
	Source   []byte       // of the scenario file, for squall:ignore

	rule     string
	findings spec.Problems
}

// Run applies every rule. A finding is left out where its line, or one above
// that is only a comment, says "squall:ignore RULE".
func Run(c Case) spec.Problems {
	for _, r := range Rules() {
		c.rule = r.Name
		r.find(&c)
	}
	lines := strings.Split(string(c.Source), "\n")
	return slices.DeleteFunc(c.findings.Unique(), func(p spec.Problem) bool {
		rule, _ := strings.CutPrefix(p.See, explainRule)
		return ignored(lines, p.Line, rule)
	})
}

const explainRule = "squall explain "

func ignored(lines []string, line int, rule string) bool {
	says := func(text string) bool {
		_, rest, found := strings.Cut(text, "squall:ignore ")
		return found && slices.Contains(strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' }), rule)
	}
	if line < 1 || line > len(lines) {
		return false
	}
	if says(lines[line-1]) {
		return true
	}
	for i := line - 2; i >= 0 && strings.HasPrefix(strings.TrimSpace(lines[i]), "#"); i-- {
		if says(lines[i]) {
			return true
		}
	}
	return false
}

// report adds a finding of the rule that is at work.
func (c *Case) report(at spec.Pos, format string, args ...any) {
	c.findings = append(c.findings, spec.Problem{
		Pos: at, Msg: fmt.Sprintf(format, args...) + " [" + c.rule + "]", See: explainRule + c.rule,
	})
}
