package app

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"squall/faults"
	"squall/reports"
	"squall/runner/lint"
	"squall/runner/scaffold"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

func (a *app) listCmd() *cobra.Command {
	var system string
	var switches []string
	var markdown bool
	lists := map[string]func(w io.Writer) error{
		"faults": func(w io.Writer) error {
			for _, name := range faults.Builtin().Names() {
				k := faults.Builtin()[name]
				fmt.Fprintf(w, "%s\tneeds a %s\t%s\n", name, k.Needs, k.Summary)
			}
			return nil
		},
		"checks": func(w io.Writer) error {
			for _, k := range verdict.Builtin() {
				fmt.Fprintf(w, "%s\t%s\n", k.Name, k.Summary)
			}
			return nil
		},
		"rules": func(w io.Writer) error {
			for _, r := range lint.Rules() {
				fmt.Fprintf(w, "%s\t%s\n", r.Name, r.Summary)
			}
			return nil
		},
		"templates": func(w io.Writer) error {
			for _, r := range scaffold.Rows() {
				fmt.Fprintf(w, "%s\t%s\n", r.Name, r.Title)
			}
			return nil
		},
		"targets":   func(w io.Writer) error { return listTargets(w, system, switches) },
		"switches":  func(w io.Writer) error { return listSwitches(w, system) },
		"defects":   func(w io.Writer) error { return listDefects(w, system) },
		"scenarios": func(w io.Writer) error { return a.listScenarios(w) },
	}
	names := slices.Sorted(maps.Keys(lists))
	c := &cobra.Command{
		Use:       "list " + strings.Join(names, "|"),
		Short:     "Print a catalogue",
		Args:      cobra.ExactArgs(1),
		ValidArgs: names,
		RunE: func(_ *cobra.Command, args []string) error {
			list, ok := lists[args[0]]
			if !ok {
				return usage("list %q: want %s", args[0], strings.Join(names, ", "))
			}
			if markdown {
				if args[0] != "scenarios" {
					return usage("list %s has no --markdown", args[0])
				}
				return a.scenariosMarkdown(a.Stdout)
			}
			t := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
			if err := list(t); err != nil {
				return err
			}
			return t.Flush()
		},
	}
	c.Flags().StringVar(&system, "system", filepath.Join("sample-system", "system.yaml"), "system file")
	switchFlag(c, &switches)
	c.Flags().BoolVar(&markdown, "markdown", false, "of scenarios: as the page scenarios/README.md")
	return c
}

// listTargets prints what the file declares, and of what has replicas the instances.
func listTargets(w io.Writer, file string, switches []string) error {
	sys, problems := loadSystem(file, choices(switches))
	if len(problems) > 0 {
		return exitError{code: ExitUsage, err: problems}
	}
	services, edges := sys.Declared()
	for _, name := range edges {
		links := sys.Targets(name)
		fmt.Fprintf(w, "%s\tedge, %s%s\n", name, sys.EdgesNamed(name)[0].Protocol, group(name, links))
	}
	for _, name := range services {
		fmt.Fprintf(w, "%s\tservice, %s%s\n", name, sys.Spec.Target, group(name, sys.Targets(name)))
	}
	return nil
}

func group(name string, of []string) string {
	if slices.Equal(of, []string{name}) {
		return ""
	}
	return "\t" + strings.Join(of, ", ")
}

func listSwitches(w io.Writer, file string) error {
	sys, problems := spec.LoadSystem(file)
	if len(problems) > 0 {
		return exitError{code: ExitUsage, err: problems}
	}
	for _, name := range slices.Sorted(maps.Keys(sys.Spec.Switches)) {
		fmt.Fprintf(w, "%s\t%s\n", name, sys.Spec.Switches[name].Title)
	}
	return nil
}

func listDefects(w io.Writer, file string) error {
	sys, problems := spec.LoadSystem(file)
	if len(problems) > 0 {
		return exitError{code: ExitUsage, err: problems}
	}
	if sys.Spec.Defects == nil {
		return nil
	}
	for _, d := range slices.Sorted(maps.Keys(sys.Spec.Defects.Known)) {
		fmt.Fprintf(w, "%s\t%s\n", d, sys.Spec.Defects.Known[d])
	}
	return nil
}

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema scenario|system|gameday|verdict",
		Short: "Print the JSON Schema of a file kind, generated from the types that read or write it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			kinds := map[string]string{"scenario": "Scenario", "system": "System", "gameday": "GameDay", "verdict": "Verdict"}
			kind, ok := kinds[args[0]]
			if !ok {
				return usage("schema %q: want scenario, system, gameday or verdict", args[0])
			}
			out, err := schemaOf(kind)
			if err != nil {
				return err
			}
			_, err = a.Stdout.Write(out)
			return err
		},
	}
}

func schemaOf(kind string) ([]byte, error) {
	if kind == "Verdict" {
		return reports.VerdictSchema()
	}
	return spec.Schema(kind, faultKinds(), checkKinds())
}

func faultKinds() map[string]spec.KindDoc {
	out := map[string]spec.KindDoc{}
	for name, k := range faults.Builtin() {
		out[name] = spec.KindDoc{Summary: k.Summary, Params: k.Params}
	}
	return out
}

func checkKinds() map[string]spec.KindDoc {
	out := map[string]spec.KindDoc{}
	for _, k := range verdict.Builtin() {
		out[k.Name] = spec.KindDoc{Summary: k.Summary, Params: k.Params}
	}
	return out
}

func (a *app) explainCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "explain KIND|RULE|scenario|system|gameday|all",
		Short: "Reference of one fault kind, check kind or lint rule, or of a kind of file",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if args[0] == "all" {
				return reference(a.Stdout)
			}
			var names []string
			for _, s := range subjects() {
				if names = append(names, s.name); s.name == args[0] {
					return s.print(a.Stdout)
				}
			}
			return usage("explain: no fault, check, rule or file kind %q%s", args[0], meant(args[0], names))
		},
	}
}

// subject is something that can be explained.
type subject struct {
	name, summary string
	print         func(io.Writer) error
}

func subjects() (out []subject) {
	file := func(name, summary string, root any) {
		out = append(out, subject{name, summary, func(w io.Writer) error { return explainFile(w, root) }})
	}
	kind := func(name, what, summary, doc string, params any) {
		out = append(out, subject{name, summary, func(w io.Writer) error { return explain(w, name, what, summary, doc, params) }})
	}
	file("scenario", "Every key of a scenario file.", spec.Scenario{})
	file("system", "Every key of a system file.", spec.System{})
	file("gameday", "Every key of a game day file.", spec.GameDay{})
	for _, name := range faults.Builtin().Names() {
		k := faults.Builtin()[name]
		kind(name, "fault, needs a "+string(k.Needs), k.Summary, k.Doc, k.Params)
	}
	for _, k := range verdict.Builtin() {
		kind(k.Name, "check", k.Summary, k.Doc, k.Params)
	}
	for _, r := range lint.Rules() {
		kind(r.Name, "rule of squall lint", r.Summary, r.Doc, nil)
	}
	return out
}

func explain(w io.Writer, name, what, summary, doc string, params any) error {
	fmt.Fprintf(w, "%s (%s)\n%s\n\n%s\n", name, what, summary, strings.TrimSpace(doc))
	fields := spec.Fields(params)
	if len(fields) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nparameters")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	explainFields(t, fields, "  ")
	return t.Flush()
}

// explainFile prints every key of a file.
func explainFile(w io.Writer, root any) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	explainFields(t, spec.Fields(root), "")
	return t.Flush()
}

func explainFields(w io.Writer, fields []spec.Field, indent string) {
	for _, f := range fields {
		explainField(w, f, indent)
		explainFields(w, f.Fields, indent+"  ")
	}
}

func explainField(w io.Writer, f spec.Field, indent string) {
	fmt.Fprintf(w, "%s%s\t%s\t%s\t%s\n", indent, f.Name, f.Type, notes(f), f.Doc)
}

// notes are what a field demands, in words.
func notes(f spec.Field) string {
	var notes []string
	if f.Required {
		notes = append(notes, "required")
	}
	if f.Default != "" {
		notes = append(notes, "default "+f.Default)
	}
	if len(f.Enum) > 0 {
		notes = append(notes, "one of "+strings.Join(f.Enum, ", "))
	}
	return strings.Join(notes, "; ")
}
