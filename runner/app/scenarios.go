package app

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"squall/scenarios/spec"
)

func (a *app) listScenarios(w io.Writer) error {
	ins, err := a.readInputs(nil, choice{})
	if err != nil {
		return err
	}
	for _, in := range ins {
		m := in.scenario.Metadata
		fmt.Fprintf(w, "%s\t%s\t[%s]\t%s\n", m.Name, in.scenario.File, strings.Join(m.Tags, " "), m.Title)
	}
	return nil
}

const scenariosHead = `# Scenarios

Written by ` + "`squall list scenarios --markdown`" + ` (` + "`make catalogue`" + `); a test keeps it up to date.

Each is one belief about the sample system, a way to shake it, and what must be seen for the belief to stand. "Red under" names the
defects (` + "`squall list defects`" + `) that must break it, and by which assertion: ` + "`squall prove FILE`" + ` switches each on and requires that.

| command | runs |
|---|---|
| ` + "`squall run FILE`" + ` | one scenario |
| ` + "`squall run --tag breaker`" + ` | all that have the tag |
| ` + "`make chaos TAGS=smoke`" + ` | the short suite |
| ` + "`make chaos`" + ` | one scenario for each resilience system (tag full), two shops at a time |
| ` + "`squall run scenarios`" + ` | all of them |
| ` + "`make prove`" + ` | all of them, clean and under every defect they claim |

`

const scenariosTail = `## What must fail

[` + "`regress/`" + `](regress) holds scenarios whose verdict must not be pass: a fault that never bites, a metric nobody has, a generator that
starves. Each says by its first line how it must end, and ` + "`make test-e2e`" + ` requires that.
`

// scenariosMarkdown writes the catalogue of ./scenarios as a page, theme by theme.
func (a *app) scenariosMarkdown(w io.Writer) error {
	ins, err := a.readInputs(nil, choice{})
	if err != nil {
		return err
	}
	slices.SortStableFunc(ins, func(a, b *input) int { return cmp.Compare(a.scenario.File, b.scenario.File) })
	if _, err := io.WriteString(w, scenariosHead); err != nil {
		return err
	}
	byTag(w, ins)
	theme := ""
	for _, in := range ins {
		file, err := filepath.Rel("scenarios", in.scenario.File)
		if err != nil {
			return err
		}
		if dir := filepath.Dir(file); dir != theme {
			theme = dir
			fmt.Fprintf(w, "## %s\n\n", theme)
		}
		describeScenario(w, filepath.ToSlash(file), in)
	}
	_, err = io.WriteString(w, scenariosTail)
	return err
}

// byTag is an index: which scenarios have a tag.
func byTag(w io.Writer, ins []*input) {
	tagged := map[string][]string{}
	for _, in := range ins {
		for _, tag := range in.scenario.Metadata.Tags {
			tagged[tag] = append(tagged[tag], in.scenario.Metadata.Name)
		}
	}
	fmt.Fprint(w, "| tag | scenarios |\n|---|---|\n")
	for _, tag := range slices.Sorted(maps.Keys(tagged)) {
		fmt.Fprintf(w, "| `%s` | %s |\n", tag, strings.Join(tagged[tag], ", "))
	}
	fmt.Fprintln(w)
}

func describeScenario(w io.Writer, file string, in *input) {
	sc := in.scenario
	fmt.Fprintf(w, "**[%s](%s)**: %s\n\n", sc.Metadata.Name, file, sc.Metadata.Title)
	fmt.Fprintf(w, "> %s\n\n", sc.Spec.Hypothesis)
	fmt.Fprintf(w, "- tags: %s\n", code(sc.Metadata.Tags...))
	fmt.Fprintf(w, "- load: %s, at most %s\n", arrival(sc.Spec.Load), in.plan.Load.Longest.Round(time.Second))
	for _, x := range sc.Spec.Faults {
		fmt.Fprintf(w, "- fault: %s on %s\n", code(x.Kind), code(x.On))
	}
	for _, x := range sc.Spec.Steps {
		fmt.Fprintf(w, "- step: %s\n", code(x.Describe()))
	}
	if len(in.plan.Switches) > 0 {
		fmt.Fprintf(w, "- switches: %s\n", code(in.plan.Switches...))
	}
	if len(sc.Spec.Proves) > 0 {
		fmt.Fprintf(w, "- red under: %s\n", claims(sc.Spec.Proves))
	}
	fmt.Fprintln(w)
}

func code(words ...string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = "`" + word + "`"
	}
	return strings.Join(quoted, ", ")
}

func arrival(l spec.LoadSpec) string {
	if !l.Given() {
		return "what the system has by itself"
	}
	rates := []string{l.Arrival.String()}
	for _, s := range l.Stages {
		rates = append(rates, s.Arrival.String())
	}
	return strings.Join(rates, ", then ")
}

func claims(proves []spec.Prove) string {
	var out []string
	for _, p := range proves {
		claim := p.Defect
		if p.By != "" {
			claim += " by " + code(p.By)
		}
		out = append(out, claim)
	}
	return strings.Join(out, ", ")
}
