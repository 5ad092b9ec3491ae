package reports

import (
	"cmp"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// tile is one of the few figures that tell the run at a glance.
type tile struct{ Name, Value, Note string }

// tiles answer, in this order: what was done, what it did, how soon the system
// noticed and was well again, and whether to worry.
func tiles(p page) (out []tile) {
	base, fault := p.phase("baseline"), p.phase("fault")
	for i, f := range p.Faults {
		if i == 1 {
			out[0].Note += fmt.Sprintf("; and %s more", count(float64(len(p.Faults)-1), "fault"))
			break
		}
		out = append(out, tile{"Fault", f.Kind + " on " + f.On, "hit " + f.Hit() + stood(f)})
	}
	if base != nil && fault != nil && fault.all() > 0 {
		out = append(out,
			tile{"Ok under the fault", percent(fault.success()), "before: " + percent(base.success())},
			tile{"95% answered in", latency(fault.Waited), "before: " + latency(base.Waited)})
	}
	out = append(out, reactionTiles(p)...)
	if c, ok := dearest(p.Costs); ok {
		out = append(out, tile{"Error budget of a month", percent(c.Spent) + " spent", "woken: " + c.When()})
	}
	return out
}

// mostReactions bounds the tiles of reactions.
const mostReactions = 3

// reactionTiles are how soon the system reacted; what never happened comes first.
func reactionTiles(p page) (out []tile) {
	seen := map[tile]bool{}
	for _, r := range p.Compare {
		name, breaker := strings.CutPrefix(r.Name, "breaker ")
		verb, where, _ := strings.Cut(name, " ")
		if !slices.Contains([]string{"opened", "closed", "detected", "recovered"}, verb) {
			continue
		}
		title, note := strings.ToUpper(verb[:1])+verb[1:], "as "+strings.Trim(where, "()")+" asserts"
		if breaker {
			title, note = "Breaker "+verb, where
		}
		for _, c := range r.Cells {
			t := tile{title, c.Value, note}
			if c.Value != "" && !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b tile) int {
		return cmp.Compare(happenedAt(a), happenedAt(b))
	})
	return out[:min(len(out), mostReactions)]
}

// happenedAt sorts what never happened before what did.
func happenedAt(t tile) int {
	if strings.HasPrefix(t.Value, "after ") || t.Value == "at once" {
		return 1
	}
	return 0
}

func stood(f standing) string {
	if f.Injected == "" || f.Undone == "" {
		return ""
	}
	return fmt.Sprintf(", %.1f to %s", f.From.Seconds(), f.Undone)
}

// count is a number with its noun, which takes an s.
func count(n float64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%.0f %ss", n, noun)
}

// file is a table of the page to take away, as a link that holds it.
type file struct {
	Name string
	Rows int
	Link template.URL
}

// files are what was drawn and what was judged over time, as CSV. The link needs
// no network and no script.
func files(in Input) (out []file) {
	d, most := in.digest(), mostCSV>>in.thrift
	rows := [][]string{{"seconds", "ok", "failed", "unknown", "ok_p50_seconds", "ok_p95_seconds", "ok_p99_seconds", "not_ok_p95_seconds", "calls", "retries", "dropped"}}
	for _, b := range d.Buckets {
		rows = append(rows, []string{number(b.T.Seconds()), fmt.Sprint(b.OK), fmt.Sprint(b.Failed), fmt.Sprint(b.Unknown),
			number(float64(b.P50)), number(float64(b.P95)), number(float64(b.P99)), number(float64(b.Bad)), fmt.Sprint(b.Calls), fmt.Sprint(b.Retries), number(b.Lost)})
	}
	out = append(out, csvFile("timeline.csv", rows, most))
	rows = [][]string{{"assertion", "seconds", "value"}}
	for _, f := range judgedSeries(in.Result) {
		for _, p := range f.Series {
			rows = append(rows, []string{plain(f.ID), number(p.T.Seconds()), number(p.V)})
		}
	}
	out = append(out, csvFile("assertions.csv", rows, most))
	rows = [][]string{{"series", "instance", "seconds", "value"}}
	for _, t := range append(append([]track{}, d.Breaker...), d.Queues...) {
		for _, p := range t.Points {
			rows = append(rows, []string{plain(t.Name), plain(t.From), number(p.T.Seconds()), number(float64(p.V))})
		}
	}
	out = append(out, csvFile("breakers-and-queues.csv", rows, most))
	if flaws, _ := contradicted(in.Result); len(flaws) > 0 {
		rows = [][]string{{"operation", "flaw", "books"}}
		for _, x := range flaws {
			rows = append(rows, []string{plain(x.ID), plain(x.Flaw), plain(x.Text)})
		}
		out = append(out, csvFile("ledger.csv", rows, most))
	}
	return out
}

// mostCSV bounds what a page carries of one table; the record has all of it.
const mostCSV = 48_000

func csvFile(name string, rows [][]string, most int) file {
	var b strings.Builder
	w := csv.NewWriter(&b)
	n := 0
	for i, r := range rows {
		if b.Len() > most {
			break
		}
		_ = w.Write(r) // a strings.Builder does not fail
		w.Flush()
		n = i
	}
	return file{name, n, template.URL("data:text/csv;base64," + base64.StdEncoding.EncodeToString([]byte(b.String())))}
}

// number is a value as CSV has it; empty for none.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return fmt.Sprintf("%.6g", v)
}
