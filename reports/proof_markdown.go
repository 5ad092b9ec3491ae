package reports

import (
	"fmt"
	"io"
	"strings"

	"squall/runner/verdict"
)

// ProofMarkdown writes the track record: what a page of a repository shows.
func ProofMarkdown(w io.Writer, p Proof) error {
	var b strings.Builder
	killed, of := p.Score()
	noticed, mutants := p.CheckScore()
	n := p.Numbers()
	fmt.Fprintf(&b, "# Track record\n\nWritten by `squall prove --markdown`. Of %d claims of a defect %d are killed: each of its runs failed by the assertion that claims it. "+
		"Without a defect %d of %d runs were green. Of %d weakened checks %d were noticed.\n", of, killed, n["Green"], n["Clean"], mutants, noticed)
	if honest := p.Honest(); honest != "" {
		fmt.Fprintf(&b, "\n%s.\n", cell(honest))
	}
	b.WriteString("\n| defect | | scenario | turns red | outcome | runs |\n|---|---|---|---|---|---|\n")
	for _, c := range p.Claims {
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` | %s | %d of %d |\n", cell(c.Defect), cell(c.What), cell(c.Scenario), cell(c.By), c.Outcome(), c.good(), len(c.Runs))
	}
	b.WriteString("\n| scenario without a defect | green |\n|---|---|\n")
	for _, c := range p.Clean {
		fmt.Fprintf(&b, "| %s | %d of %d |\n", cell(c.Scenario), c.Green(), len(c.Runs))
	}
	bullets(&b, "Not killed, and why", p.reasons())
	bullets(&b, "Assertions that no claimed defect turns red", p.Idle)
	bullets(&b, "Weakened checks that nobody notices", p.silent())
	bullets(&b, "Defects that no scenario claims", p.Unclaimed)
	_, err := io.WriteString(w, b.String())
	return err
}

// reasons say of every run that was not as it should be what it was.
func (p Proof) reasons() (lines []string) {
	for _, c := range p.Claims {
		for _, t := range c.Runs {
			if !t.Good && t.Verdict != verdict.Skipped {
				lines = append(lines, fmt.Sprintf("%s in %s: %s: %s", c.Defect, c.Scenario, t.outcome(), t.Why))
			}
		}
	}
	for _, c := range p.Clean {
		for _, t := range c.Runs {
			if !t.Good && t.Verdict != verdict.Skipped {
				lines = append(lines, fmt.Sprintf("%s without a defect: %s", c.Scenario, t.Why))
			}
		}
	}
	return lines
}

func bullets(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n", title)
	for _, l := range lines {
		fmt.Fprintf(b, "- %s\n", cell(l))
	}
}
