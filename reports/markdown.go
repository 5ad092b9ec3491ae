package reports

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"squall/runner/verdict"
)

// maxMarkdown is GitHub's limit for the job summary of one step, in bytes.
const maxMarkdown = 1 << 20

const cutNotice = "\n\ncut: longer than a job summary may be\n"

// Markdown writes a summary for job pages. Where it would be too long, the
// tables are cut; the verdict and the rerun command never are.
func Markdown(w io.Writer, in Input) error {
	var head, b strings.Builder
	h := in.Run.Header
	word := Word(in.Result)
	fmt.Fprintf(&head, "## %s %s: %s\n\n%s\n\n", marks[word], strings.ToUpper(word), cell(title(h)), cell(in.Result.Sentence))
	for _, d := range in.Result.Dirty {
		fmt.Fprintf(&b, "- **not restored**: %s\n", cell(d))
	}
	if len(in.Result.Dirty) > 0 {
		b.WriteByte('\n')
	}
	table(&b, "Assertion", assertions(in.Result))
	faultTable(&b, standings(in.Run))
	if fs := evidence(in.Result); len(fs) > 0 {
		fmt.Fprintf(&b, "<details><summary>Evidence: %s</summary>\n\n", tally(fs))
		table(&b, "Law", fs)
		b.WriteString("</details>\n\n")
	}
	// An indented block shows its text as it is, whatever that holds.
	foot := fmt.Sprintf("Seed %d, plan %s. Again:\n\n    %s\n", h.Seed, cell(short(h.PlanHash)), plain(h.Rerun))
	_, err := io.WriteString(w, head.String()+cut(b.String(), maxMarkdown-head.Len()-len(foot))+foot)
	return err
}

// cut shortens to a number of bytes, at the end of a line if there is one, and
// never within a rune.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := max(0, most-len(cutNotice)-1) // and a newline
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	s = s[:end]
	if i := strings.LastIndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	return s + cutNotice + "\n"
}

func table(b *strings.Builder, name string, fs []verdict.Finding) {
	if len(fs) == 0 {
		return
	}
	fmt.Fprintf(b, "| | %s | Expected | Measured | Margin | Samples | Why |\n|---|---|---|---|---|---:|---|\n", name)
	for _, f := range fs {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %d | %s |\n",
			marks[string(f.Verdict)], cell(f.ID), cell(f.Expected), cell(f.Measured), cell(f.Margin), f.Samples, cell(f.Why))
	}
	b.WriteByte('\n')
}

func faultTable(b *strings.Builder, fs []standing) {
	if len(fs) == 0 {
		return
	}
	b.WriteString("| Fault | What | Injected | Gone | Affected |\n|---|---|---:|---:|---|\n")
	for _, f := range fs {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", cell(f.ID), cell(f.What()), f.Injected, f.Gone, cell(f.Hit()))
	}
	b.WriteByte('\n')
}

// markdownEscapes keep text from being more than text: no table, code, emphasis,
// link, image or HTML can begin in it.
var markdownEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "[", `\[`, "]", `\]`, "&", "&amp;", "<", "&lt;")

func cell(s string) string { return markdownEscapes.Replace(plain(s)) }

func short(hash string) string { return hash[:min(12, len(hash))] }
