// Package scaffold writes the files that a person begins with: a project, and
// scenarios from templates. What it writes is valid, and is meant to be edited.
package scaffold

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v4"

	"squall/scenarios/spec"
)

//go:embed rows.yaml
var rowsFile []byte

// Row is a template of a scenario, for one kind of resilience.
type Row struct {
	Name       string   `yaml:"row"` // "breaker"
	Needs      string   `yaml:"needs"`
	Title      string   `yaml:"title"`
	Why        string   `yaml:"why"`
	Hypothesis string   `yaml:"hypothesis"`
	Faults     []string `yaml:"faults"`
	Steps      []string `yaml:"steps"`
	Expect     []string `yaml:"expect"`
}

// Rows are all templates, in the order of the file.
func Rows() []Row {
	var rows []Row
	if err := yaml.Unmarshal(rowsFile, &rows); err != nil {
		panic(fmt.Sprintf("scaffold: rows.yaml: %v", err)) // a test reads it
	}
	return rows
}

// Scenario is the text of a scenario made from a template for a system.
func Scenario(row string, c Choice) ([]byte, error) {
	rows := Rows()
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Name == row })
	if i < 0 {
		names := make([]string, len(rows))
		for i, r := range rows {
			names[i] = r.Name
		}
		return nil, fmt.Errorf("no template %q%s, there are: %s", row, didYouMean(row, names), strings.Join(names, ", "))
	}
	r := rows[i]
	if err := c.has(r.Needs); err != nil {
		return nil, fmt.Errorf("template %s: %w", row, err)
	}
	if strings.Contains(strings.Join(r.Expect, ""), ".Queue") && c.Queue == "" {
		return nil, fmt.Errorf("template %s: needs the ledger source that lists the dead letters: --queue NAME, after it was declared under ledger in %s", row, c.System)
	}
	text, err := fill(scenarioText, map[string]any{"Row": r, "C": c})
	if err != nil {
		return nil, err
	}
	return fill(string(text), c)
}

func didYouMean(name string, names []string) string {
	if near := spec.Suggest(name, names); near != "" {
		return fmt.Sprintf(" (did you mean %q?)", near)
	}
	return ""
}

// fill executes a template. Lines that come out without content are dropped.
func fill(text string, data any) ([]byte, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return nil, fmt.Errorf("template: %w", err)
	}
	lines := slices.DeleteFunc(strings.SplitAfter(b.String(), "\n"), func(line string) bool { return strings.TrimSpace(line) == "-" })
	return []byte(strings.Join(lines, "")), nil
}

const scenarioText = `# yaml-language-server: $schema={{.C.Schema}}
# {{.Row.Why}}
apiVersion: squall/v1
kind: Scenario
metadata:
  name: {{.C.Name}}
  title: {{.Row.Title}}
  tags: [{{.Row.Name}}]
spec:
  hypothesis: {{.Row.Hypothesis}}
  system: {{.C.System}}
{{- if .C.Switches}}
  switches: [{{range $i, $s := .C.Switches}}{{if $i}}, {{end}}{{$s}}{{end}}]
{{- end}}
  load: {script: {{.C.Script}}, arrival: 20/s}
  phases: {baseline: 5s, fault: 10s, recovery: 15s}
{{- if .Row.Faults}}
  faults:
{{- range .Row.Faults}}
    - {{.}}
{{- end}}
{{- end}}
{{- if .Row.Steps}}
  steps:
{{- range .Row.Steps}}
    - {{.}}
{{- end}}
{{- end}}
  steady:
    - {id: well-before, slo: {{.C.SLO}}, atLeast: 95%}
  expect:
{{- range .Row.Expect}}
    - {{.}}
{{- end}}
    - {id: recovers, recovery: {slo: {{.C.SLO}}, within: 10s, atLeast: 90%}}
`
