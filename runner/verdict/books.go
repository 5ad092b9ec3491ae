package verdict

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// BooksProbe names the probe entry that says a ledger source has been read
// (OK, Value: rows) or could not be (Note: why). A record without such entries
// had all its sources read together, or none.
func BooksProbe(source string) string { return "books " + source }

// books are the rows of a ledger source; why says what keeps them from being
// complete, if anything. A source made of others is their union.
func (v *View) books(source string) (rows []record.AuditRow, why string) {
	wanted := map[string]bool{}
	for _, name := range basicSources(v.System, source) {
		if why := v.unread(name); why != "" {
			return nil, why
		}
		wanted[name] = true
	}
	for _, r := range v.Run.Audit {
		if wanted[r.Source] {
			rows = append(rows, r)
		}
	}
	return rows, ""
}

// booksRead reports whether the books have been asked for at all.
func booksRead(run *record.Run) bool {
	return len(run.Audit) > 0 || len(booksProbes(run)) > 0
}

// unread says why a source's rows are not all there; "" if they are.
func (v *View) unread(source string) string {
	probes := booksProbes(v.Run)
	p, found := probes[source]
	switch {
	case found && !p.OK:
		return fmt.Sprintf("the books of %s could not be read: %s", source, p.Note)
	case found, len(probes) == 0 && len(v.Run.Audit) > 0:
		return ""
	}
	return "the record has no books of " + source
}

func booksProbes(run *record.Run) map[string]record.Probe {
	probes := map[string]record.Probe{}
	for _, p := range run.Probes {
		if source, ok := strings.CutPrefix(p.Name, BooksProbe("")); ok {
			probes[source] = p.Probe
		}
	}
	return probes
}

// basicSources resolves `of`; a source that is made of itself ends there.
func basicSources(system *spec.System, source string) []string {
	var names []string
	seen := map[string]bool{}
	var walk func(string)
	walk = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		parts := system.Spec.Ledger[name].Of
		if len(parts) == 0 {
			names = append(names, name)
		}
		for _, p := range parts {
			walk(p)
		}
	}
	walk(source)
	return names
}

// checkSources checks the ledger sources a check names.
func checkSources(d *Declared, field string, sources ...string) {
	known := slices.Sorted(maps.Keys(d.System.Spec.Ledger))
	for _, s := range sources {
		switch why := d.System.AbsentBooks(s); {
		case slices.Contains(known, s):
		case why != "":
			d.fail(field, fmt.Sprintf("ledger source %q is not part of the system: %s", s, why), "")
		default:
			d.fail(field, fmt.Sprintf("unknown ledger source %q", s), spec.Suggest(s, known))
		}
	}
}
