package metrics

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
)

// windowName is the placeholder that users write for the judged span of the run.
const windowName = "$window"

// sentinel stands in for $window while the expression is parsed: a length that
// nobody writes, so that it is found again in the tree. Its text is as long as
// $window, so that the positions in errors are those of the user's text.
const (
	sentinel     = 99*24*time.Hour + 9*time.Hour + 9*time.Minute
	sentinelText = "99d9h9m"
)

var promParser = parser.NewParser(parser.Options{EnableExtendedRangeSelectors: true})

// variables finds what begins with $, after all that may hide one: strings,
// which a mistake may leave open, and comments.
var variables = regexp.MustCompile(strings.Join([]string{
	`"(?:\\.|[^"\\])*"?`, `'(?:\\.|[^'\\])*'?`, "`[^`]*`?", `#[^\n]*`, `\$\w*`,
}, "|"))

// Parse checks an expression, which may hold $window.
func Parse(expr string) error {
	tree, _, err := parse(expr)
	if err != nil {
		return err
	}
	if t := tree.Type(); t != parser.ValueTypeVector && t != parser.ValueTypeScalar {
		return fmt.Errorf("PromQL: this is a %s, want a number or one per series", parser.DocumentedType(t))
	}
	_, err = Expand(expr, time.Minute)
	return err
}

// parse reads an expression with the sentinel for each of its uses of $window.
func parse(expr string) (tree parser.Expr, uses int, err error) {
	text := variables.ReplaceAllStringFunc(expr, func(found string) string {
		if found != windowName {
			return found
		}
		uses++
		return sentinelText
	})
	for _, at := range variables.FindAllStringIndex(text, -1) {
		if text[at[0]] == '$' {
			return nil, 0, unknownVariable(text, at[0], at[1])
		}
	}
	if tree, err = promParser.ParseExpr(text); err != nil {
		said := strings.ReplaceAll(err.Error(), sentinelText, windowName)
		return nil, 0, fmt.Errorf("PromQL: %s%s", said, suggestion(said))
	}
	return tree, uses, nil
}

func unknownVariable(text string, from, to int) error {
	before := text[:from]
	line := strings.Count(before, "\n") + 1
	column := from - strings.LastIndex(before, "\n")
	hint := fmt.Sprintf("there is only %q", windowName)
	if distance(text[from:to], windowName) <= likely {
		hint = fmt.Sprintf("did you mean %q?", windowName)
	}
	return fmt.Errorf("PromQL: %d:%d: parse error: unknown variable %q (%s)", line, column, text[from:to], hint)
}

// likely is the greatest distance of a word from what it was meant to be.
const likely = 3

// suggestion names the function that an unknown one may have meant.
func suggestion(said string) string {
	_, rest, ok := strings.Cut(said, `unknown function with name "`)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, `"`)
	best, least := "", likely
	for f := range parser.Functions {
		if d := distance(name, f); d < least || d == least && f < best {
			best, least = f, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the edit distance of two words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diag := row[0]
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
		}
	}
	return row[len(b)]
}
