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

// JUnit writes one suite per scenario and one case per finding, over all its
// runs: failure is fail, error is error, inconclusive or dirty, skipped is not
// judged. A scenario that is not green has at least one red case. The body
// repeats all facts, because many readers show nothing else.
func JUnit(w io.Writer, all []Scenario, o JUnitOptions) error {
	var suites []junitSuite
	for _, s := range all {
		suites = append(suites, suiteOf(s, o))
	}
	return writeSuites(w, suites)
}

// RunJUnit writes the suite of one run.
func RunJUnit(w io.Writer, in Input, o JUnitOptions) error {
	return JUnit(w, []Scenario{alone(RowOf(in))}, o)
}

func writeSuites(w io.Writer, suites []junitSuite) error {
	all := junitSuites{Name: "squall", Suites: suites}
	var total float64
	for _, s := range suites {
		all.Tests += s.Tests
		all.Failures += s.Failures
		all.Errors += s.Errors
		all.Skipped += s.Skipped
		took, _ := strconv.ParseFloat(s.Time, 64) // written by plainSeconds
		total += took
	}
	all.Time = strconv.FormatFloat(total, 'f', 3, 64)
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

func suiteOf(sc Scenario, o JUnitOptions) junitSuite {
	h, res := sc.Runs[0].Header, sc.Result
	s := junitSuite{
		Name: plain(sc.Name()), Time: plainSeconds(sc.length()), Timestamp: h.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{
			{"verdict", Word(res)}, {"sentence", plain(res.Sentence)}, {"seed", fmt.Sprint(h.Seed)},
			{"plan_sha256", h.PlanHash}, {"switches", plain(strings.Join(h.Switches, ","))}, {"defects", plain(strings.Join(h.Defects, ","))}, {"rerun", plain(h.Rerun)},
		},
	}
	if len(sc.Runs) > 1 {
		for i, r := range sc.Runs {
			s.Properties = append(s.Properties, junitProperty{fmt.Sprintf("run-%d", i+1), plain(fmt.Sprintf("%s: %s: %s", r.Dir, Word(r.Result), r.Header.Rerun))})
		}
	}
	for _, f := range res.Findings {
		s.add(caseOf(sc, f, o))
	}
	for i, d := range res.Dirty {
		s.add(junitCase{
			Class: class(sc), Name: fmt.Sprintf("restored-%d", i+1), Time: "0.000",
			Error: &junitText{Message: "not restored: " + plain(d), Type: "dirty", Body: plain(d)},
		})
	}
	if !s.red() && res.Verdict != verdict.Pass && res.Verdict != verdict.Skipped {
		s.add(junitCase{
			Class: class(sc), Name: "run", Time: s.Time,
			Error: &junitText{Message: plain(res.Sentence), Type: string(res.Verdict), Body: plain(res.Sentence)},
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

func class(sc Scenario) string { return "squall." + plain(sc.Name()) }

func caseOf(sc Scenario, f verdict.Finding, o JUnitOptions) junitCase {
	c := junitCase{Class: class(sc) + "." + f.Group, Name: plain(f.ID), Time: "0.000"}
	if f.Window != nil {
		c.Time = plainSeconds(f.Window.To - f.Window.From)
	}
	if !o.Strict {
		c.File, c.Line = plain(f.Pos.File), f.Pos.Line
	}
	text := &junitText{Message: plain(f.Why), Type: string(f.Verdict), Body: facts(sc, f)}
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
func facts(sc Scenario, f verdict.Finding) string {
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
	line("again", sc.Runs[0].Header.Rerun)
	return b.String()
}
