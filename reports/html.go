package reports

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"squall/runner/record"
	"squall/runner/verdict"
)

//go:embed page
var pages embed.FS

var (
	style       = asset("style.css")
	script      = asset("script.js")
	indexScript = asset("index.js")
	liveScript  = asset("live.js")
)

func asset(name string) string {
	data, err := pages.ReadFile("page/" + name)
	if err != nil {
		panic(err)
	}
	return string(data)
}

var functions = template.FuncMap{
	"clip":    func(s string) string { return shorten(s, mostText) },
	"mark":    func(v any) string { return marks[fmt.Sprint(v)] },
	"seconds": seconds,
	"latency": latency[record.Float],
	"percent": func(v any) string {
		if f, is := v.(record.Float); is {
			return percent(f)
		}
		return percent(v.(float64))
	},
	"short":      short,
	"css":        func() template.CSS { return template.CSS(style) },
	"js":         func() template.JS { return template.JS(script) },
	"livejs":     func() template.JS { return template.JS(liveScript) },
	"indexjs":    func() template.JS { return template.JS(indexScript) },
	"span":       func(d time.Duration) string { return latency(record.Float(d.Seconds())) },
	"after":      func(from, to time.Duration) string { return latency(record.Float((to - from).Seconds())) },
	"decimal":    func(v record.Float) string { return strings.Replace(fmt.Sprintf("%.1f", float64(v)), "NaN", "–", 1) },
	"quantity":   quantity,
	"change":     changeText,
	"kept":       keptText,
	"bare":       bare,
	"links":      links,
	"lead":       func(s string) string { lead, _, _ := strings.Cut(s, ":"); return lead },
	"strip":      strip,
	"effectmark": func(e verdict.Effect) string { return effectMarks[e] },
	"effectclass": func(e verdict.Effect) string {
		return map[verdict.Effect]string{verdict.Worse: "fail", verdict.Better: "pass", verdict.Same: "skipped", verdict.Unclear: "skipped"}[e]
	},
	"policy": func() string { return policy },
}

// policy lets a page run its own style and script and nothing else, and load
// nothing at all. It holds also where a page is opened as a file.
var policy = fmt.Sprintf("default-src 'none'; img-src data:; style-src 'sha256-%s'; script-src 'sha256-%s' 'sha256-%s' 'sha256-%s'; base-uri 'none'; form-action 'none'", sum(style), sum(script), sum(indexScript), sum(liveScript))

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(s[:])
}

func parse(files ...string) *template.Template {
	for i := range files {
		files[i] = "page/" + files[i] + ".html.tmpl"
	}
	return template.Must(template.New(path.Base(files[0])).Funcs(functions).ParseFS(pages, files...))
}

var (
	reportTemplate = parse("report", "sections", "details")
	indexTemplate  = parse("index")
)

func percent[T ~float64](share T) string {
	switch v := float64(share); {
	case math.IsNaN(v):
		return "–"
	case v > 0.9995 && v < 1: // never round a loss away
		return fmt.Sprintf("%.5g%%", math.Min(v*100, 99.999))
	default:
		return fmt.Sprintf("%.3g%%", v*100)
	}
}

// latency prints seconds in the unit people use.
func latency[T ~float64](v T) string {
	switch s := float64(v); {
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
	*Digest
	Word, Title string
	Hypothesis  string // where the sentence does not quote it
	Tally       string
	First       *shown  // the first assertion that is not a pass
	Also        []shown // the next ones
	Impact      string
	Tiles       []tile
	Assertions  []shown
	Evidence    []shown
	EvidenceSum string
	Faults      []standing
	Timeline    template.HTML
	Cursor      *cursorData
	Compare     []compareRow
	Map         template.HTML
	Judged      []string // phases of the edge table
	WireClasses []string
	Outcomes    []string
	Changes     []changeRow
	Questions   []question
	Files       []file
	Costs       []costRow
	Sick        []string
	Versions    []string
	Notes       []record.NoteEvent

	Contradicted []verdict.Flaw // by the books, whatever the digest has room for
	MoreFlaws    bool           // than those

	Thrift int // how often it was rendered with less
}

// mostNotes bounds the notes of a page.
const mostNotes = 200

func notes(run *record.Run) []record.NoteEvent {
	out := slices.Clone(run.Notes[:min(len(run.Notes), mostNotes)])
	for i := range out {
		out[i].Text = shorten(out[i].Text, mostText/2)
	}
	return out
}

// shown is a finding with what the page adds to it.
type shown struct {
	verdict.Finding
	Anchor      string
	Place       string
	WorstAt     string
	Value       string // measured, without its interval
	Between     string // the interval
	Spark       template.HTML
	First, Rest []string // details: those to see at once, and the others
}

// openDetails are shown at once for an assertion that is not a pass.
const openDetails = 5

// mostDetails bounds the details of one finding.
const mostDetails = 60

// show gives every finding an anchor of its own; taken holds those in use.
func show(fs []verdict.Finding, taken map[string]bool) (out []shown) {
	for _, f := range fs {
		f.Why, f.Measured, f.Expected = shorten(f.Why, mostText), shorten(f.Measured, mostText), shorten(f.Expected, mostText)
		f.Details = slices.Clone(f.Details[:min(len(f.Details), mostDetails)])
		for i := range f.Details {
			f.Details[i] = shorten(f.Details[i], mostText/4)
		}
		s := shown{Finding: f, Anchor: anchor(f.Group+"-"+f.ID, taken), Place: place(f), Rest: f.Details, Spark: spark(f)}
		if f.Verdict == verdict.Pass && (f.Why == f.Measured || strings.HasPrefix(f.Why, "measured ")) {
			s.Why = "" // it is said already
		}
		s.Value, s.Between = f.Measured, ""
		if at := strings.Index(f.Measured, " (95%: "); at > 0 && strings.HasSuffix(f.Measured, ")") {
			s.Value, s.Between = f.Measured[:at], f.Measured[at+2:len(f.Measured)-1]
		}
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
	word := Word(in.Result)
	var page bytes.Buffer
	whole := in.digest()
	for level := range mostThrift {
		in.Digest, in.thrift = whole.thrifty(level), level
		sections, err := Sections(in)
		if err != nil {
			return err
		}
		page.Reset()
		if err := frame(&page, marks[word]+" "+word+": "+shorten(in.Run.Header.Scenario, mostText), policy, false, sections); err != nil {
			return err
		}
		if page.Len() <= maxPage {
			break
		}
	}
	_, err := page.WriteTo(w)
	return err
}

func newPage(in Input) page {
	taken := map[string]bool{}
	d, h := in.Digest, in.Run.Header
	p := page{
		Input: in, Digest: d, Word: Word(in.Result), Title: title(h), Tally: tally(assertions(in.Result)),
		Assertions: show(assertions(in.Result), taken), Evidence: show(evidence(in.Result), taken),
		EvidenceSum: tally(evidence(in.Result)), Faults: standings(in.Run), Compare: compare(d.Phases, in.Result),
		Map: topology(in), Judged: judgedPhases, WireClasses: wireClasses, Outcomes: bookOutcomes, Changes: changes(d),
		Costs: costs(in), Sick: d.Health.Sick(), Files: files(in), Notes: notes(in.Run), Thrift: in.thrift,
	}
	p.Timeline, p.Cursor = timeline(in)
	p.Contradicted, p.MoreFlaws = contradicted(in.Result)
	p.Questions = questions(in, p.Assertions)
	if !strings.Contains(in.Result.Sentence, strings.TrimSuffix(h.Hypothesis, ".")) {
		p.Hypothesis = h.Hypothesis
	}
	if broken := unmetFirst(p.Assertions, p.Evidence); len(broken) > 0 {
		p.First, p.Also = &broken[0], broken[1:min(len(broken), 1+mostAlso)]
	}
	p.Tiles, p.Impact = tiles(p), impact(p)
	for _, k := range slices.Sorted(maps.Keys(h.Versions)) {
		p.Versions = append(p.Versions, k+" "+h.Versions[k])
	}
	return p
}

// mostAlso bounds the assertions named after the first that is not met.
const mostAlso = 4

// unmetFirst are the assertions that are not met, worst first, or the laws of
// evidence that are not where all assertions are. What a run under way has yet to
// decide is none of them.
func unmetFirst(groups ...[]shown) []shown {
	for _, g := range groups {
		g = slices.DeleteFunc(slices.Clone(g), func(s shown) bool { return s.Pending })
		n := slices.IndexFunc(g, func(s shown) bool { return s.Verdict == verdict.Pass || s.Verdict == verdict.Skipped })
		if n < 0 {
			n = len(g)
		}
		if n > 0 {
			return g[:n]
		}
	}
	return nil
}

// breaks lets a line break before the labels of a series, and never within an arrow.
var breaks = strings.NewReplacer(" -&gt; ", ` <span class="to">-&gt;</span> `, "{", "{<wbr>", ",", ",<wbr>")

// links are texts with names of edges.
func links(s string) template.HTML {
	return template.HTML(breaks.Replace(template.HTMLEscapeString(s)))
}

// bare is the sentence of a verdict without the word that already stands above it.
func bare(word, sentence string) string {
	rest := strings.TrimPrefix(sentence, word+": ")
	first, size := utf8.DecodeRuneInString(rest)
	if rest == sentence || size == 0 {
		return sentence
	}
	if id, _, found := strings.Cut(rest, ": "); found && !strings.Contains(id, " ") {
		return rest // a name is written as it is
	}
	return string(unicode.ToUpper(first)) + rest[size:]
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
