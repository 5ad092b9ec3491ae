package reports

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/runner/record"
	"squall/runner/verdict"
)

// bookRow lays what the client was told beside what one of the services' books says.
type bookRow struct {
	Source string         `json:"source"`
	Rows   int            `json:"rows"`
	Cells  []bookCell     `json:"cells"`  // as bookOutcomes; none where its rows have no effect
	States map[string]int `json:"states"` // where the source keeps states
}

// bookCell counts operations of one outcome by how often they are in the books.
type bookCell struct {
	None int `json:"none"`
	Once int `json:"once"`
	More int `json:"more"`
}

// Text is the cell in words; empty where there is nothing.
func (c bookCell) Text() string {
	var parts []string
	for _, p := range []struct {
		n    int
		word string
	}{{c.Once, "once"}, {c.None, "not"}, {c.More, "more often"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.word))
		}
	}
	return strings.Join(parts, ", ")
}

// bookOutcomes are the columns; nobody's are rows that no operation explains.
var bookOutcomes = []string{"ok", "failed", "unknown", "nobody's"}

// StateText counts the states of a source, in order of name.
func (b bookRow) StateText() string {
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(b.States)) {
		parts = append(parts, fmt.Sprintf("%d %s", b.States[s], s))
	}
	return strings.Join(parts, ", ")
}

// books compares every source with the operations of the kinds it holds.
func books(run *record.Run) (out []bookRow) {
	net, states := map[string]map[string]int{}, map[string]map[string]int{}
	rows, effective := map[string]int{}, map[string]bool{}
	for _, a := range run.Audit {
		if net[a.Source] == nil {
			net[a.Source], states[a.Source] = map[string]int{}, map[string]int{}
		}
		rows[a.Source]++
		net[a.Source][a.Key] += a.Effect
		effective[a.Source] = effective[a.Source] || a.Effect != 0
		if a.State != "" {
			states[a.Source][a.State]++
		}
	}
	for _, source := range slices.Sorted(maps.Keys(net)) {
		b := bookRow{Source: source, Rows: rows[source], States: states[source]}
		if !effective[source] {
			out = append(out, b)
			continue
		}
		b.Cells = make([]bookCell, len(bookOutcomes))
		kinds := map[string]bool{}
		known := map[string]bool{}
		for _, op := range run.Operations {
			if _, in := net[source][op.ID]; in {
				kinds[op.Name], known[op.ID] = true, true
			}
		}
		for _, op := range run.Operations {
			if kinds[op.Name] {
				b.Cells[max(0, slices.Index(bookOutcomes, string(op.Outcome)))].add(net[source][op.ID])
			}
		}
		for key, n := range net[source] {
			if !known[key] {
				b.Cells[len(bookOutcomes)-1].add(n)
			}
		}
		out = append(out, b)
	}
	return out
}

func (c *bookCell) add(n int) {
	switch {
	case n <= 0:
		c.None++
	case n == 1:
		c.Once++
	default:
		c.More++
	}
}

// flawed is an operation that the books contradict, with its rows in them.
type flawed struct {
	Finding string            `json:"finding"`
	Flaw    string            `json:"flaw"`
	ID      string            `json:"id"`
	Text    string            `json:"text"`
	Rows    []record.AuditRow `json:"rows"`
}

// contradicted are the operations that the books contradict, each once, by all
// that the verdict names; more says that there are others.
func contradicted(res verdict.Result) (all []verdict.Flaw, more bool) {
	told := map[string]bool{}
	for _, f := range res.Findings {
		more = more || len(f.Flaws) == verdict.MaxFlaws
		for _, x := range f.Flaws {
			if !told[x.ID] {
				told[x.ID] = true
				all = append(all, x)
			}
		}
	}
	return all, more
}

// Bounds of the list of flawed operations.
const (
	mostFlawed = 500
	mostRows   = 8
)

// flaws joins what the ledger checks found with the rows of the books.
func flaws(in Input) (out []flawed) {
	index := map[string][]int{}
	for _, f := range in.Result.Findings {
		for _, x := range f.Flaws {
			if len(out) == mostFlawed {
				break
			}
			index[x.ID] = append(index[x.ID], len(out))
			out = append(out, flawed{Finding: f.ID, Flaw: x.Flaw, ID: x.ID, Text: x.Text})
		}
	}
	for _, a := range in.Run.Audit {
		for _, i := range index[a.Key] {
			out[i].Rows = append(out[i].Rows, a)
		}
	}
	for i := range out {
		rows := out[i].Rows
		slices.SortStableFunc(rows, func(a, b record.AuditRow) int { // what counts first, then what tells how far it went
			return cmp.Or(cmp.Compare(min(1, b.Effect*b.Effect), min(1, a.Effect*a.Effect)), cmp.Compare(a.Source, b.Source), cmp.Compare(a.At, b.At))
		})
		out[i].Rows = rows[:min(len(rows), mostRows)]
	}
	return out
}

// Entries are the rows in words.
func (f flawed) Entries() string {
	var parts []string
	for _, r := range f.Rows {
		s := r.Source
		if r.Effect != 0 {
			s += fmt.Sprintf(" %+d", r.Effect)
		}
		if r.State != "" {
			s += " " + r.State
		}
		if r.ID != "" {
			s += " (" + r.ID + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}
