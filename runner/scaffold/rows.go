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
	Stages     []string `yaml:"stages"` // of the load; it is steady without
	Phases     string   `yaml:"phases"`
	Faults     []string `yaml:"faults"`
	Steps      []string `yaml:"steps"`
	Expect     []string `yaml:"expect"`
	Day        string   `yaml:"day"` // a game day instead, but for what every file has
}

// Folder is where a project keeps what a template makes, and Check the command
// that says whether it is right.
func (r Row) Folder() string {
	if r.Day != "" {
		return Folder + "/gamedays"
	}
	return Folder + "/scenarios"
}

// Check is the command that looks at what a template made.
func (r Row) Check() string {
	if r.Day != "" {
		return "squall gameday plan"
	}
	return "squall lint"
}

// Rows are all templates, in the order of the file.
func Rows() []Row {
	var rows []Row
	if err := yaml.Unmarshal(rowsFile, &rows); err != nil {
		panic(fmt.Sprintf("scaffold: rows.yaml: %v", err)) // a test reads it
	}
	return rows
}

// Find returns the template of that name.
func Find(row string) (Row, error) {
	rows := Rows()
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Name == row })
	if i < 0 {
		names := make([]string, len(rows))
		for i, r := range rows {
			names[i] = r.Name
		}
		return Row{}, fmt.Errorf("no template %q%s, there are: %s", row, didYouMean(row, names), strings.Join(names, ", "))
	}
	return rows[i], nil
}

// Fill is the text of the file that the template makes for a system.
func (r Row) Fill(c Choice) ([]byte, error) {
	if err := c.has(r.Needs); err != nil {
		return nil, fmt.Errorf("template %s: %w", r.Name, err)
	}
	if strings.Contains(strings.Join(r.Expect, ""), ".Queue") && c.Queue == "" {
		return nil, fmt.Errorf("template %s: needs the ledger source that lists the dead letters: --queue NAME, after it was declared under ledger in %s", r.Name, c.System)
	}
	form := scenarioText
	if r.Day != "" {
		form = dayText
	}
	text, err := fill(form, map[string]any{"Row": r, "C": c})
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

const scenarioText = `# yaml-language-server: $schema={{.C.Schema}}/scenario.json
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
  load: {script: {{.C.Script}}, arrival: 20/s{{if .Row.Stages}}, stages: [{{range $i, $s := .Row.Stages}}{{if $i}}, {{end}}{{$s}}{{end}}]{{end}}}
  phases: {{or .Row.Phases "{baseline: 5s, fault: 10s, recovery: 15s}"}}
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

const dayText = `# yaml-language-server: $schema={{.C.Schema}}/gameday.json
# {{.Row.Why}}
apiVersion: squall/v1
kind: GameDay
metadata:
  name: {{.C.Name}}
  title: {{.Row.Title}}
  tags: [{{.Row.Name}}]
spec:
  system: {{.C.System}}
{{- if .C.Switches}}
  switches: [{{range $i, $s := .C.Switches}}{{if $i}}, {{end}}{{$s}}{{end}}]
{{- end}}
  load: {script: {{.C.Script}}, arrival: 20/s}
  steady:
    - {id: well-before, slo: {{.C.SLO}}, atLeast: 95%}
{{.Row.Day}}`
