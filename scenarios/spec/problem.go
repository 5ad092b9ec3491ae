package spec

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem is one mistake in a file, at its place.
type Problem struct {
	Pos
	Msg     string `json:"msg"`
	Suggest string `json:"suggest,omitempty"` // "did you mean" candidate, may be empty
	See     string `json:"see,omitempty"`     // command that explains what is meant here, may be empty
}

// String is file:line:col; without a line, only the file.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
}

// Error formats the problem as file:line:col: message.
func (p Problem) Error() string {
	s := p.Pos.String() + ": " + p.Msg
	if p.Suggest != "" {
		s += fmt.Sprintf(" (did you mean %q?)", p.Suggest)
	}
	return s
}

// Problems are all mistakes found; as an error it lists each on its line.
type Problems []Problem

// Error lists every problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// Err is nil where there are no problems, and the problems otherwise.
func (ps Problems) Err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// Explained are the problems, each with the command that explains it where it
// has none of its own.
func (ps Problems) Explained(see string) Problems {
	out := slices.Clone(ps)
	for i := range out {
		out[i].See = cmp.Or(out[i].See, see)
	}
	return out
}

// Sort orders by file, line and column.
func (ps Problems) Sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
}

// Unique returns the problems sorted, each once: what is reached through two
// aliases would be reported twice.
func (ps Problems) Unique() Problems {
	out := slices.Clone(ps)
	out.Sort()
	seen := make(map[Problem]bool, len(out))
	return slices.DeleteFunc(out, func(p Problem) bool {
		again := seen[p]
		seen[p] = true
		return again
	})
}

// AsProblems turns an error of a fault's or check's own validation into
// problems: Problems stay as they are, anything else is placed at pos.
func AsProblems(err error, pos Pos) Problems {
	var ps Problems
	if err == nil || errors.As(err, &ps) {
		return ps
	}
	return Problems{{Pos: pos, Msg: err.Error()}}
}
