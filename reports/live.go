package reports

import (
	"bytes"
	"fmt"
	"html/template"
	"io"

	"squall/runner/record"
)

// Section is one part of the report, as it stands.
type Section struct {
	ID   string `json:"id"`
	HTML string `json:"html"`
}

// parts of the report in their order; each is a template of that name.
var parts = []string{"verdict", "contents", "assertions", "timeline", "phases", "faults", "map", "client", "requests", "logs", "questions", "cost", "health", "run"}

// Sections renders the report part by part.
func Sections(in Input) ([]Section, error) {
	in.Digest = in.digest()
	p := newPage(in)
	out := make([]Section, len(parts))
	for i, name := range parts {
		var b bytes.Buffer
		if err := reportTemplate.ExecuteTemplate(&b, name, p); err != nil {
			return nil, fmt.Errorf("reports: render %s: %w", name, err)
		}
		out[i] = Section{name, printable(b.String())}
	}
	return out, nil
}

// livePolicy is that of a report, and lets the page ask where it came from for more.
var livePolicy = policy + "; connect-src 'self'"

// LivePage writes a page that follows its run.
func LivePage(w io.Writer, h record.Header, sections []Section) error {
	return frame(w, "live: "+title(h), livePolicy, true, sections)
}

// frame writes the page around its parts.
func frame(w io.Writer, title, policy string, live bool, sections []Section) error {
	type part struct {
		ID   string
		HTML template.HTML
	}
	var all []part
	for _, s := range sections {
		all = append(all, part{s.ID, template.HTML(s.HTML)}) // rendered by our own templates
	}
	return render(w, reportTemplate, map[string]any{"Title": title, "Parts": all, "Policy": policy, "Live": live})
}
