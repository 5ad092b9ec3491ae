package reports

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/runner/verdict"
)

//go:embed report.html.tmpl
var reportPage string

//go:embed index.html.tmpl
var indexPage string

//go:embed style.css
var style string

var functions = template.FuncMap{
	"mark":    func(v any) string { return marks[fmt.Sprint(v)] },
	"seconds": seconds,
	"latency": latency,
	"percent": percent,
	"short":   short,
	"css":     func() template.CSS { return template.CSS(style) },
}

var (
	reportTemplate = template.Must(template.New("report").Funcs(functions).Parse(reportPage))
	indexTemplate  = template.Must(template.New("index").Funcs(functions).Parse(indexPage))
)

func percent(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case v > 0.9995 && v < 1: // never round a loss away
		return fmt.Sprintf("%.5g%%", math.Min(v*100, 99.999))
	default:
		return fmt.Sprintf("%.3g%%", v*100)
	}
}

// latency prints seconds in the unit people use.
func latency(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s < 0.00095:
		return fmt.Sprintf("%.0f µs", s*1e6)
	case s < 0.995:
		return fmt.Sprintf("%.3g ms", s*1e3)
	default:
		return fmt.Sprintf("%.3g s", s)
	}
}

// page is what the template shows.
type page struct {
	Input
	Word, Title string
	Hypothesis  string // where the sentence does not quote it
	Tally       string
	First       *shown // the first assertion that is not a pass
	Assertions  []shown
	Evidence    []shown
	EvidenceSum string
	Faults      []standing
	Timeline    template.HTML
	Phases      []phaseStats
	Compare     []compareRow
	Judged      []string // phases of the edge table
	Edges       []edgeRow
	WireClasses []string
	ClientWire  []clientRow
	Seconds     []second
	Changes     []changeRow
	Versions    []string
	Notes       []record.NoteEvent
}

// shown is a finding with what the page adds to it.
type shown struct {
	verdict.Finding
	Anchor      string
	Place       string
	WorstAt     string
	First, Rest []string // details: those to see at once, and the others
}

// openDetails are shown at once for an assertion that is not a pass.
const openDetails = 5

// show gives every finding an anchor of its own; taken holds those in use.
func show(fs []verdict.Finding, taken map[string]bool) (out []shown) {
	for _, f := range fs {
		s := shown{Finding: f, Anchor: anchor(f.Group+"-"+f.ID, taken), Place: place(f), Rest: f.Details}
		if f.Worst != nil {
			s.WorstAt = seconds(*f.Worst)
		}
		if f.Verdict != verdict.Pass {
			n := min(openDetails, len(f.Details))
			s.First, s.Rest = f.Details[:n], f.Details[n:]
		}
		out = append(out, s)
	}
	return out
}

// anchor makes an id of a name: no character that a link would have to escape.
func anchor(name string, taken map[string]bool) string {
	id := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || (r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')) {
			return r
		}
		return '-'
	}, name)
	free := id
	for n := 2; taken[free]; n++ {
		free = fmt.Sprintf("%s-%d", id, n)
	}
	taken[free] = true
	return free
}

// HTML writes the report: one file, nothing loaded, complete without script
// and without its style.
func HTML(w io.Writer, in Input) error {
	taken := map[string]bool{}
	phases := perPhase(in.Run)
	p := page{
		Input: in, Word: Word(in.Result), Title: title(in.Run.Header), Tally: tally(assertions(in.Result)),
		Assertions: show(assertions(in.Result), taken), Evidence: show(evidence(in.Result), taken),
		EvidenceSum: tally(evidence(in.Result)), Faults: standings(in.Run), Timeline: timeline(in),
		Phases: phases, Compare: compare(phases, in.Result), Judged: judgedPhases, Edges: edges(in),
		WireClasses: wireClasses, ClientWire: clientAndWire(in.Run), Seconds: perSecond(in.Run), Changes: changes(in.Run),
		Notes: in.Run.Notes,
	}
	if !strings.Contains(in.Result.Sentence, strings.TrimSuffix(in.Run.Header.Hypothesis, ".")) {
		p.Hypothesis = in.Run.Header.Hypothesis
	}
	p.First = firstBroken(p.Assertions, p.Evidence)
	for _, k := range slices.Sorted(maps.Keys(in.Run.Header.Versions)) {
		p.Versions = append(p.Versions, k+" "+in.Run.Header.Versions[k])
	}
	return render(w, reportTemplate, p)
}

// firstBroken is the worst assertion that is not a pass, or the worst law of
// evidence where all assertions are.
func firstBroken(groups ...[]shown) *shown {
	for _, g := range groups {
		if len(g) > 0 && g[0].Verdict != verdict.Pass && g[0].Verdict != verdict.Skipped {
			return &g[0]
		}
	}
	return nil
}

// render lets no control character into a page.
func render(w io.Writer, t *template.Template, data any) error {
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return fmt.Errorf("reports: render %s: %w", t.Name(), err)
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}

// Index writes the page of a suite, beside the folders of its runs.
func Index(w io.Writer, rows []Row) error {
	type line struct {
		Row
		Word, Title, Link string
		Length            time.Duration
		Faults            []standing
	}
	var lines []line
	words := map[string]int{}
	for _, r := range rows {
		lines = append(lines, line{
			Row: r, Word: Word(r.Result), Title: title(r.Run.Header), Link: folder(r.Dir) + "/report.html",
			Length: r.Run.Last, Faults: standings(r.Run),
		})
		words[Word(r.Result)]++
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Compare(slices.Index(severity, a.Word), slices.Index(severity, b.Word))
	})
	var sum []string
	for _, word := range severity {
		if n := words[word]; n > 0 {
			sum = append(sum, fmt.Sprintf("%d %s", n, word))
		}
	}
	return render(w, indexTemplate, map[string]any{"Lines": lines, "Sum": strings.Join(sum, ", ")})
}
