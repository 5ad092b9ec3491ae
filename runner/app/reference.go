package app

import (
	"fmt"
	"io"
	"strings"

	"squall/faults"
	"squall/runner/lint"
	"squall/runner/scaffold"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// reference prints everything that explain knows, as Markdown: docs/REFERENCE.md.
func reference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Reference\n\nGenerated from the code by `make schema`; `squall explain NAME` prints one entry. [Faults](#faults) · [Checks](#checks) · [Rules of lint](#rules-of-lint) · [Templates](#templates) · [Scenario file](#scenario-file) · [System file](#system-file)\n")
	b.WriteString("\n## Faults\n")
	for _, name := range faults.Builtin().Names() {
		k := faults.Builtin()[name]
		entry(&b, name, "Needs a "+string(k.Needs)+": "+k.Summary+".", k.Doc, k.Params)
	}
	b.WriteString("\n## Checks\n")
	for _, k := range verdict.Builtin() {
		entry(&b, k.Name, k.Summary, k.Doc, k.Params)
	}
	b.WriteString("\n## Rules of lint\n")
	for _, r := range lint.Rules() {
		entry(&b, r.Name, r.Summary, r.Doc, nil)
	}
	b.WriteString("\n## Templates\n\n`squall new TEMPLATE NAME` writes a scenario for your system.\n\n| template | scenario |\n|---|---|\n")
	for _, r := range scaffold.Rows() {
		fmt.Fprintf(&b, "| %s | %s |\n", r.Name, cell(r.Title))
	}
	b.WriteString("\n## Scenario file\n\n")
	table(&b, spec.Fields(spec.Scenario{}))
	b.WriteString("\n## System file\n\n")
	table(&b, spec.Fields(spec.System{}))
	_, err := io.WriteString(w, b.String())
	return err
}

func entry(b *strings.Builder, name, summary, doc string, params any) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n%s\n", name, summary, strings.TrimSpace(doc))
	if params == nil {
		return
	}
	if fields := spec.Fields(params); len(fields) > 0 {
		b.WriteByte('\n')
		table(b, fields)
	}
}

func table(b *strings.Builder, fields []spec.Field) {
	b.WriteString("| key | type | | |\n|---|---|---|---|\n")
	rows(b, fields, "")
}

func rows(b *strings.Builder, fields []spec.Field, under string) {
	for _, f := range fields {
		fmt.Fprintf(b, "| `%s%s` | %s | %s | %s |\n", under, f.Name, cell(f.Type), cell(notes(f)), cell(f.Doc))
		rows(b, f.Fields, under+f.Name+".")
	}
}

// cell is text that ends no table cell early and is no HTML.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "*", "\\*").Replace(text)
}
