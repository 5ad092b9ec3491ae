package verdict

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/runner/record"
)

func init() {
	builtin(Kind{
		Name:    "agree",
		Summary: "Several stores hold the same in the end.",
		Doc: `Compares ledger sources that keep the same things, such as an old and a new store during a migration, after the run. Every key
of one is in all the others, with the same value of each named attribute; where a source has several rows of one key, the newest
counts. One key that differs is proof, however few there were; keys that differ are listed by name.
Too little evidence for a pass: fewer than 10 keys, a source that was not read, or none that was written during the run.`,
		Params:     agree{},
		Fixed:      true,
		During:     "run",
		MinSamples: 10,
		NeedsBooks: true,
		New:        newAgree,
	})
}

type agree struct {
	Sources []string `yaml:"sources" spec:"required,min=2" doc:"Ledger sources that must hold the same."`
	Attrs   []string `yaml:"attrs" doc:"Attributes of the rows that must be the same: address, version. Effect and state of a row are compared always."`
}

func newAgree(d *Declared) Checker {
	a := &agree{}
	d.decode(a)
	checkSources(d, "sources", a.Sources...)
	return a
}

func (a *agree) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = "the same in " + strings.Join(a.Sources, " and ")
	stores := make([]map[string]record.AuditRow, len(a.Sources))
	keys, written := map[string]bool{}, 0
	for i, source := range a.Sources {
		rows, why := v.books(source)
		if why != "" {
			f.unclear(why)
			return
		}
		stores[i] = newestRows(rows)
		for key, r := range stores[i] {
			keys[key] = true
			if v.Run.T(r.At) > 0 {
				written++
			}
		}
	}
	f.Samples = len(keys)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if why := a.differs(key, stores); why != "" {
			f.Details = append(f.Details, key+": "+why)
		}
	}
	differ := len(f.Details)
	f.Details = bounded(f.Details)
	f.Measured = fmt.Sprintf("%d of %d keys differ", differ, len(keys))
	switch {
	case differ > 0:
		f.Verdict, f.Why = Fail, fmt.Sprintf("%s, the first %s", f.Measured, f.Details[0])
	case len(keys) < f.MinSamples:
		f.unclear(fmt.Sprintf("%s in the books, %d are needed", plural(len(keys), "key"), f.MinSamples))
	case written == 0:
		f.unclear("nothing in the books was written during the run")
	default:
		f.Verdict, f.Why = Pass, fmt.Sprintf("all %d keys are the same", len(keys))
	}
}

// differs says how the stores differ on a key; "" if they do not.
func (a *agree) differs(key string, stores []map[string]record.AuditRow) string {
	first := ""
	for i, store := range stores {
		r, ok := store[key]
		text := "absent"
		if ok {
			text = a.content(r)
		}
		if i == 0 {
			first = text
		} else if text != first {
			return fmt.Sprintf("%s has %s, %s has %s", a.Sources[0], first, a.Sources[i], text)
		}
	}
	return ""
}

func (a *agree) content(r record.AuditRow) string {
	parts := []string{fmt.Sprintf("effect %d %s", r.Effect, r.State)}
	for _, name := range a.Attrs {
		value, ok := r.Attrs[name]
		parts = append(parts, name+" "+cmp.Or(value, map[bool]string{true: `""`, false: "absent"}[ok]))
	}
	return strings.Join(parts, ", ")
}

// newestRows are the newest row of each key.
func newestRows(rows []record.AuditRow) map[string]record.AuditRow {
	newest := map[string]record.AuditRow{}
	for _, r := range rows {
		if was, ok := newest[r.Key]; !ok || r.At >= was.At {
			newest[r.Key] = r
		}
	}
	return newest
}
