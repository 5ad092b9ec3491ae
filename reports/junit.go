package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"squall/runner/verdict"
)

// JUnitOptions choose the dialect.
type JUnitOptions struct {
	Strict bool // without file and line on testcase, which Jenkins' schema refuses
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Time     string       `xml:"time,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Timestamp  string          `xml:"timestamp,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	File    string     `xml:"file,attr,omitempty"`
	Line    int        `xml:"line,attr,omitempty"`
	Failure *junitText `xml:"failure"`
	Error   *junitText `xml:"error"`
	Skipped *junitText `xml:"skipped"`
}

type junitText struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Body    string `xml:",chardata"`
}

// JUnit writes one suite per run and one case per finding: failure is fail,
// error is error, inconclusive or dirty, skipped is not judged. A run that is
// not green has at least one red case. The body repeats all facts, because many
// readers show nothing else.
func JUnit(w io.Writer, ins []Input, o JUnitOptions) error {
	all := junitSuites{Name: "squall"}
	var total time.Duration
	for _, in := range ins {
		s := suiteOf(in, o)
		all.Suites = append(all.Suites, s)
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Skipped += s.Skipped
		total += in.Run.Last
	}
	all.Time = plainSeconds(total)
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func plainSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

func suiteOf(in Input, o JUnitOptions) junitSuite {
	h := in.Run.Header
	s := junitSuite{
		Name: plain(h.Run), Time: plainSeconds(in.Run.Last), Timestamp: h.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{
			{"verdict", Word(in.Result)}, {"sentence", plain(in.Result.Sentence)}, {"seed", fmt.Sprint(h.Seed)},
			{"plan_sha256", h.PlanHash}, {"switches", plain(strings.Join(h.Switches, ","))}, {"defects", plain(strings.Join(h.Defects, ","))}, {"rerun", plain(h.Rerun)},
		},
	}
	for _, f := range in.Result.Findings {
		s.add(caseOf(in, f, o))
	}
	for i, d := range in.Result.Dirty {
		s.add(junitCase{
			Class: class(in), Name: fmt.Sprintf("restored-%d", i+1), Time: "0.000",
			Error: &junitText{Message: "not restored: " + plain(d), Type: "dirty", Body: plain(d)},
		})
	}
	if !s.red() && in.Result.Verdict != verdict.Pass && in.Result.Verdict != verdict.Skipped {
		s.add(junitCase{
			Class: class(in), Name: "run", Time: s.Time,
			Error: &junitText{Message: plain(in.Result.Sentence), Type: string(in.Result.Verdict), Body: plain(in.Result.Sentence)},
		})
	}
	return s
}

// red reports whether a reader of the suite sees that something is wrong.
func (s *junitSuite) red() bool { return s.Failures+s.Errors > 0 }

func (s *junitSuite) add(c junitCase) {
	s.Cases = append(s.Cases, c)
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
}

func class(in Input) string { return "squall." + plain(in.Run.Header.Run) }

func caseOf(in Input, f verdict.Finding, o JUnitOptions) junitCase {
	c := junitCase{Class: class(in) + "." + f.Group, Name: plain(f.ID), Time: "0.000"}
	if f.Window != nil {
		c.Time = plainSeconds(f.Window.To - f.Window.From)
	}
	if !o.Strict {
		c.File, c.Line = plain(f.Pos.File), f.Pos.Line
	}
	text := &junitText{Message: plain(f.Why), Type: string(f.Verdict), Body: facts(in, f)}
	switch f.Verdict {
	case verdict.Pass:
	case verdict.Fail:
		c.Failure = text
	case verdict.Skipped:
		c.Skipped = text
	default:
		c.Error = text
	}
	return c
}

// facts are all there is to say about a finding, a line each.
func facts(in Input, f verdict.Finding) string {
	var b strings.Builder
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%-9s %s\n", name, plain(value))
		}
	}
	b.WriteByte('\n')
	line("verdict", string(f.Verdict))
	line("why", f.Why)
	line("expected", f.Expected)
	line("measured", f.Measured)
	line("margin", f.Margin)
	line("samples", fmt.Sprint(f.Samples))
	line("during", f.During)
	line("promql", f.Expr)
	line("at", place(f))
	for _, d := range f.Details {
		line("", d)
	}
	line("again", in.Run.Header.Rerun)
	return b.String()
}
