package reports

import (
	"fmt"
	"io"
	"strings"

	"squall/runner/verdict"
)

// maxMarkdown is GitHub's limit for the job summary of one step.
const maxMarkdown = 1 << 20

// Markdown writes a summary for job pages.
func Markdown(w io.Writer, in Input) error {
	var b strings.Builder
	h := in.Run.Header
	word := Word(in.Result)
	fmt.Fprintf(&b, "## %s %s: %s\n\n%s\n\n", marks[word], strings.ToUpper(word), cell(title(h)), cell(in.Result.Sentence))
	for _, d := range in.Result.Dirty {
		fmt.Fprintf(&b, "- **not restored**: %s\n", cell(d))
	}
	table(&b, "Assertion", assertions(in.Result))
	table(&b, "Evidence", evidence(in.Result))
	fmt.Fprintf(&b, "Seed %d, plan `%s`, again: `%s`\n", h.Seed, short(h.PlanHash), h.Rerun)
	text := b.String()
	if len(text) > maxMarkdown {
		text = text[:maxMarkdown-64] + "\n\ncut: longer than a job summary may be\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

func table(b *strings.Builder, name string, fs []verdict.Finding) {
	if len(fs) == 0 {
		return
	}
	fmt.Fprintf(b, "| | %s | Expected | Measured | Margin | Samples | Why |\n|---|---|---|---|---|---|---|\n", name)
	for _, f := range fs {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %d | %s |\n",
			marks[string(f.Verdict)], cell(f.ID), cell(f.Expected), cell(f.Measured), cell(f.Margin), f.Samples, cell(f.Why))
	}
	b.WriteByte('\n')
}

// cell keeps text from breaking out of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "`", "'").Replace(s)
}

func short(hash string) string { return hash[:min(12, len(hash))] }
