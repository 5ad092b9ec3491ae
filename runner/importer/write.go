package importer

import (
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// tail is how long faults stand that the method leaves to its rollbacks.
const tail = 10 * time.Second

// text is the scenario file.
func (c *conversion) text(e experiment) []byte {
	phase := max(c.at, tail)
	for _, f := range c.faults {
		if f.until == 0 {
			phase = max(phase, f.at+tail)
		}
	}
	var b strings.Builder
	if c.o.Schema != "" {
		fmt.Fprintf(&b, "# yaml-language-server: $schema=%s\n", c.o.Schema)
	}
	b.WriteString("# Imported from a Chaos Toolkit experiment.\n")
	for _, m := range c.missing {
		fmt.Fprintf(&b, "# Not carried over: %s.\n", strings.Join(strings.Fields(m), " "))
	}
	script := c.o.Script
	if script == "" {
		script = c.script
	}
	hypothesis := e.Hypothesis.Title
	if hypothesis == "" {
		hypothesis = e.Title
	}
	fmt.Fprintf(&b, "apiVersion: squall/v1\nkind: Scenario\nmetadata: %s\nspec:\n", flow(line{{"name", c.o.Name}, {"title", e.Title}}))
	fmt.Fprintf(&b, "  hypothesis: %s\n  system: %s\n", flow(hypothesis), flow(c.o.SystemFile))
	fmt.Fprintf(&b, "  load: %s\n", flow(line{{"script", script}, {"arrival", c.arrival}}))
	fmt.Fprintf(&b, "  phases: {baseline: 5s, fault: %s, recovery: 15s}\n", phase)
	var faults []line
	for _, f := range c.faults {
		faults = append(faults, f.timed())
	}
	slo := c.slo()
	steady := append(c.steady, line{{"id", c.id("well-before")}, {"slo", slo}, {"atLeast", "95%"}})
	expect := append(c.expect, line{{"id", c.id("recovers")}, {"recovery", line{{"slo", slo}, {"within", "10s"}}}})
	for _, part := range []struct {
		name  string
		lines []line
	}{{"faults", faults}, {"steps", c.steps}, {"steady", steady}, {"expect", expect}} {
		if len(part.lines) > 0 {
			fmt.Fprintf(&b, "  %s:\n", part.name)
		}
		for _, l := range part.lines {
			fmt.Fprintf(&b, "    - %s\n", flow(l))
		}
	}
	return []byte(b.String())
}

// timed puts at and for before the parameters.
func (f fault) timed() line {
	l := append(line{}, f.line[:3]...)
	if f.at > 0 {
		l = append(l, pair{"at", f.at.String()})
	}
	if f.until > f.at {
		l = append(l, pair{"for", (f.until - f.at).String()})
	}
	return append(l, f.line[3:]...)
}

func (c *conversion) slo() string {
	if c.o.SLO != "" {
		return c.o.SLO
	}
	first := ""
	for name := range c.o.System.SLOs {
		if first == "" || name < first {
			first = name
		}
	}
	return first
}

// flow is a value on one line of YAML.
func flow(v any) string {
	out, err := yaml.Dump(node(v), yaml.WithLineWidth(-1))
	if err != nil {
		panic(fmt.Sprintf("importer: %v", err)) // text, lists and lines always encode
	}
	return strings.TrimSpace(string(out))
}

func node(v any) *yaml.Node {
	switch v := v.(type) {
	case line:
		n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for _, p := range v {
			n.Content = append(n.Content, node(p.key), node(p.value))
		}
		return n
	case []string:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, s := range v {
			n.Content = append(n.Content, node(s))
		}
		return n
	}
	n := new(yaml.Node)
	n.SetString(strings.Join(strings.Fields(fmt.Sprint(v)), " "))
	return n
}
