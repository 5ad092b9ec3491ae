package verdict

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"squall/runner/record"
)

func init() {
	builtin(Kind{
		Name:    "writers",
		Summary: "One writer at a time: nobody writes after a successor has written.",
		Doc: `For work that only a leader may do. The rows of a ledger source tell who wrote each (attribute "writer") and in which term of
its leadership (attribute "term", a number that only grows). Taken in the order they were written, terms never fall, and a term has one
writer. Too little evidence: fewer than 5 rows; rows without the attributes; fewer changes of writer than are wanted.`,
		Params:     writers{},
		Fixed:      true,
		During:     "run",
		MinSamples: 5,
		NeedsBooks: true,
		New:        newWriters,
	})
}

type writers struct {
	Books   string `yaml:"books" spec:"required" doc:"Ledger source whose rows have the attributes writer and term."`
	Changes int    `yaml:"changes" spec:"min=0,default=1" doc:"Changes of term that must have been seen: without any there was no failover to judge."`
}

func newWriters(d *Declared) Checker {
	x := &writers{}
	d.decode(x)
	checkSources(d, "books", x.Books)
	return x
}

// entry is one row with who wrote it.
type entry struct {
	record.AuditRow
	writer string
	term   int64
}

func (x *writers) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = "one writer at a time in " + x.Books
	rows, why := v.books(x.Books)
	if why != "" {
		f.unclear(why)
		return
	}
	entries, why := written(rows)
	f.Samples = len(entries)
	if why == "" && f.Samples < f.MinSamples {
		why = fmt.Sprintf("%s in %s, %d are needed", plural(f.Samples, "row"), x.Books, f.MinSamples)
	}
	if why != "" {
		f.unclear(why)
		return
	}
	changes := x.compare(v, entries, f)
	f.Measured = fmt.Sprintf("%s, %s of term, %d out of turn", plural(f.Samples, "row"), plural(changes, "change"), len(f.Details))
	switch {
	case len(f.Details) > 0:
		f.Verdict, f.Why = Fail, fmt.Sprintf("in %s: %s", x.Books, f.Details[0])
	case changes < x.Changes:
		f.unclear(fmt.Sprintf("%s of term in %s, %d are needed: nobody took over", plural(changes, "change"), x.Books, x.Changes))
	default:
		f.Verdict, f.Why = Pass, "nobody wrote after a successor"
	}
	f.Details = bounded(f.Details)
}

// written takes writers and terms out of the rows and puts them in order.
func written(rows []record.AuditRow) (out []entry, why string) {
	for _, r := range rows {
		term, err := strconv.ParseInt(r.Attrs["term"], 10, 64)
		if err != nil || r.Attrs["writer"] == "" {
			return nil, fmt.Sprintf("row %s does not say writer and term", cmp.Or(r.ID, r.Key))
		}
		out = append(out, entry{r, r.Attrs["writer"], term})
	}
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(a.At, b.At) })
	return out, ""
}

// compare notes every row out of turn in the details, and counts how often the
// term grew.
func (x *writers) compare(v *View, entries []entry, f *Finding) (changes int) {
	of := map[int64]string{}
	newest := entries[0]
	for _, e := range entries {
		first, known := of[e.term]
		at := v.Run.T(e.At)
		out := len(f.Details)
		switch {
		case known && first != e.writer:
			f.Details = append(f.Details, fmt.Sprintf("%s wrote %s at %.2fs in term %d, which is %s's", e.writer, cmp.Or(e.ID, e.Key), at.Seconds(), e.term, first))
		case e.term < newest.term:
			f.Details = append(f.Details, fmt.Sprintf("%s wrote %s at %.2fs in term %d, after %s had written in term %d", e.writer, cmp.Or(e.ID, e.Key), at.Seconds(), e.term, newest.writer, newest.term))
		}
		if len(f.Details) > out {
			f.Worst = cmp.Or(f.Worst, &at)
		}
		if !known {
			of[e.term] = e.writer
		}
		if e.term > newest.term {
			newest = e
			changes++
		}
	}
	return changes
}
