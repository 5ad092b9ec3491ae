package reports

import (
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
	"place":   place,
	"seconds": seconds,
	"latency": latency,
	"css":     func() template.CSS { return template.CSS(style) },
	"worst": func(d *time.Duration) string {
		if d == nil {
			return ""
		}
		return seconds(*d)
	},
	"percent": percent,
	"anchor":  func(f verdict.Finding) string { return f.Group + "-" + f.ID },
}

var (
	reportTemplate = template.Must(template.New("report").Funcs(functions).Parse(reportPage))
	indexTemplate  = template.Must(template.New("index").Funcs(functions).Parse(indexPage))
)

func percent(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.4g%%", v*100)
}

// page is what the template shows.
type page struct {
	Input
	Word, Title string
	Length      time.Duration
	Assertions  []verdict.Finding
	Evidence    []verdict.Finding
	Faults      []standing
	Timeline    template.HTML
	Compare     []compareRow
	Edges       []edgeRow
	Phases      []string
	Seconds     []second
	Versions    []string
	Hypothesis  string // where the sentence does not quote it
}

// HTML writes the report: one file, nothing loaded, complete without script.
func HTML(w io.Writer, in Input) error {
	p := page{
		Input: in, Word: Word(in.Result), Title: title(in.Run.Header), Length: duration(in.Run),
		Assertions: assertions(in.Result), Evidence: evidence(in.Result), Faults: standings(in.Run),
		Timeline: timeline(in), Compare: compare(perPhase(in.Run)), Edges: edges(in),
		Phases: []string{"baseline", "fault", "recovery"}, Seconds: perSecond(in.Run),
	}
	if !strings.Contains(in.Result.Sentence, strings.TrimSuffix(in.Run.Header.Hypothesis, ".")) {
		p.Hypothesis = in.Run.Header.Hypothesis
	}
	for _, k := range slices.Sorted(maps.Keys(in.Run.Header.Versions)) {
		p.Versions = append(p.Versions, k+" "+in.Run.Header.Versions[k])
	}
	return reportTemplate.Execute(w, p)
}

// compareRow is one measure over the phases, with its change against the first.
type compareRow struct {
	Name  string
	Cells []compareCell
}

type compareCell struct{ Value, Change string }

func compare(ps []phaseStats) []compareRow {
	measure := func(name string, get func(phaseStats) float64, show func(float64) string) compareRow {
		r := compareRow{Name: name}
		for i, p := range ps {
			c := compareCell{Value: show(get(p))}
			if i > 0 {
				c.Change = change(get(ps[0]), get(p))
			}
			r.Cells = append(r.Cells, c)
		}
		return r
	}
	rate := func(v float64) string { return fmt.Sprintf("%.1f/s", v) }
	count := func(v float64) string { return fmt.Sprintf("%.0f", v) }
	return []compareRow{
		measure("length", func(p phaseStats) float64 { return p.Length.Seconds() }, func(v float64) string { return fmt.Sprintf("%.1f s", v) }),
		measure("operations", phaseStats.rate, rate),
		measure("ok", phaseStats.success, percent),
		measure("failed", func(p phaseStats) float64 { return float64(p.Failed) }, count),
		measure("unknown", func(p phaseStats) float64 { return float64(p.Unknown) }, count),
		measure("median", func(p phaseStats) float64 { return p.P50 }, latency),
		measure("95th percentile", func(p phaseStats) float64 { return p.P95 }, latency),
		measure("99th percentile", func(p phaseStats) float64 { return p.P99 }, latency),
	}
}

func change(from, to float64) string {
	if math.IsNaN(from) || math.IsNaN(to) || from == 0 {
		return ""
	}
	switch r := to / from; {
	case math.Abs(r-1) < 0.02:
		return "="
	case r >= 2:
		return fmt.Sprintf("×%.1f", r)
	default:
		return fmt.Sprintf("%+.0f%%", (r-1)*100)
	}
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
	for _, r := range rows {
		lines = append(lines, line{
			Row: r, Word: Word(r.Result), Title: title(r.Run.Header), Link: folder(r.Dir) + "/report.html",
			Length: duration(r.Run), Faults: standings(r.Run),
		})
	}
	slices.SortStableFunc(lines, func(a, b line) int {
		return cmp.Compare(slices.Index(severity, a.Word), slices.Index(severity, b.Word))
	})
	return indexTemplate.Execute(w, lines)
}
