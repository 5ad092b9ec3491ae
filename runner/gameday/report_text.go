package gameday

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"squall/scenarios/spec"
)

//go:embed report.html.tmpl
var reportHTML string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"at": clock, "took": took, "short": short,
}).Parse(reportHTML))

// HTML writes the report as one page that needs nothing else, not even scripts.
func (r Report) HTML(w io.Writer) error { return reportTemplate.Execute(w, r) }

// clock is minutes and seconds since the start.
func clock(d time.Duration) string {
	d = d.Round(time.Second)
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// took is a time after the injection; "never" where there is none.
func took(d *time.Duration) string {
	if d == nil {
		return "never"
	}
	return spec.Duration(d.Round(100 * time.Millisecond)).String()
}

// Markdown writes the report for a wiki or an issue.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Game day %s: %s\n", r.Day, r.Title)
	p("**%s** after %s%s\n", r.Ended, short(r.Took), because(r.Why))
	for _, o := range r.Objectives {
		p("- Objective: %s", o)
	}
	p("\nPlan `%s`, approved by %s.\n", r.PlanHash, orNobody(r.Approved))
	p("## Reaction times\n\n| step | signal | detected | acknowledged | mitigated | healed |\n|---|---|---|---|---|---|")
	for _, s := range r.Steps {
		if x := s.Reaction; x != nil {
			p("| %s | %s | %s | %s | %s | %s |", s.ID, took(x.Signal), took(x.Detected), took(x.Acknowledged), took(x.Mitigated), took(x.Healed))
		}
	}
	for _, s := range r.Steps {
		if s.Playbook == nil {
			continue
		}
		p("\n## Playbook %s in %s\n", s.Playbook.Title, s.ID)
		for _, sig := range s.Playbook.Signals {
			p("- signal %s: %s %s", sig.ID, took(sig.Seen), sig.Measured)
		}
		for _, d := range s.Playbook.Steps {
			if d.Done != nil {
				p("- [x] %s (%s, %s)", d.Text, d.By, took(d.Done))
			} else {
				p("- [ ] %s", d.Text)
			}
		}
	}
	list := func(title string, lines []string) {
		p("\n## %s\n", title)
		if len(lines) == 0 {
			p("None.")
		}
		for _, l := range lines {
			p("%s", strings.ReplaceAll(l, "\n", " ")) // who writes a note writes one line
		}
	}
	list("Surprises", prefixed("- ", r.Surprises))
	list("Decisions", lines(r.Decisions, func(h Happening) string { return fmt.Sprintf("- %s %s: %s", clock(h.T), h.By, h.Text) }))
	list("Action items", lines(r.Actions, func(h Happening) string { return fmt.Sprintf("- [ ] %s (%s)", h.Text, h.By) }))
	list("Timeline", lines(r.Timeline, func(h Happening) string {
		return strings.Replace(fmt.Sprintf("- %s %s %s: %s", clock(h.T), h.Kind, h.By, h.Text), " : ", ": ", 1)
	}))
	_, err := io.WriteString(w, b.String())
	return err
}

func orNobody(people []string) string {
	if len(people) == 0 {
		return "nobody"
	}
	return strings.Join(people, ", ")
}

func prefixed(prefix string, texts []string) (out []string) {
	for _, t := range texts {
		out = append(out, prefix+t)
	}
	return out
}

func lines(hs []Happening, say func(Happening) string) (out []string) {
	for _, h := range hs {
		out = append(out, say(h))
	}
	return out
}
