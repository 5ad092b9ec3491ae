package reports

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// indexLine is one scenario on the page of a suite.
type indexLine struct {
	Scenario
	Word, Title string
	Length      time.Duration
	Faults      []string
	Trend       *Trend
	Rank        int // of its verdict, worst first

	// What the filter looks at.
	Windows, Kinds, Tags string
}

// newsOf is what is new of a scenario, and where to read on.
type newsOf struct {
	Trend
	Link string
}

// Index writes the page of a suite, beside the folders of its runs. The history
// may be empty; else it includes this suite.
func Index(w io.Writer, all []Scenario, history []Past) error {
	trends := map[string]*Trend{}
	var news []newsOf
	for _, t := range Trends(history) {
		trends[t.Name] = &t
	}
	var lines []indexLine
	words := map[string]int{}
	for _, s := range all {
		l := lineOnIndex(s)
		if l.Trend = trends[plain(s.Name())]; l.Trend != nil && len(l.Trend.News) > 0 {
			news = append(news, newsOf{*l.Trend, s.Runs[0].Link()})
		}
		lines = append(lines, l)
		words[l.Word]++
	}
	slices.SortStableFunc(lines, func(a, b indexLine) int { return cmp.Compare(a.Rank, b.Rank) })
	var sum []string
	worst := "pass"
	for _, word := range slices.Backward(severity) {
		if n := words[word]; n > 0 {
			sum, worst = append([]string{fmt.Sprintf("%d %s", n, word)}, sum...), word
		}
	}
	return render(w, indexTemplate, map[string]any{"Lines": lines, "Count": count(float64(len(lines)), "scenario"), "Sum": strings.Join(sum, ", "), "Word": worst, "News": news, "HasPast": len(history) > 0})
}

func lineOnIndex(s Scenario) indexLine {
	first := s.Runs[0]
	l := indexLine{Scenario: s, Word: Word(s.Result), Title: title(first.Header), Length: s.length()}
	l.Rank = slices.Index(severity, l.Word)
	var windows, kinds []string
	for _, f := range s.Result.Findings {
		if f.Verdict != "pass" && f.Verdict != "skipped" && f.During != "" {
			windows = append(windows, f.During)
		}
	}
	times := map[string]int{}
	for _, f := range first.faults {
		kinds = append(kinds, f.Kind)
		what := f.Kind + " on " + f.On
		if times[what]++; times[what] == 1 {
			l.Faults = append(l.Faults, what)
		}
	}
	for i, what := range l.Faults {
		if n := times[what]; n > 1 {
			l.Faults[i] += fmt.Sprintf(" ×%d", n)
		}
	}
	l.Windows, l.Kinds, l.Tags = strings.Join(windows, " "), strings.Join(kinds, " "), strings.Join(first.Tags, " ")
	return l
}
