package metrics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// window is the placeholder that users write for the judged span of the run.
const windowName = "$window"

// sentinel stands in for $window while the expression is parsed: a length that
// nobody writes, so that its ranges are found again in the tree.
const sentinel = 987654321 * time.Millisecond

var promParser = parser.NewParser(parser.Options{EnableExtendedRangeSelectors: true})

// Parse checks an expression, which may hold $window.
func Parse(expr string) error {
	_, err := parse(expr)
	return err
}

func parse(expr string) (parser.Expr, error) {
	tree, err := promParser.ParseExpr(strings.ReplaceAll(expr, windowName, model.Duration(sentinel).String()))
	if err != nil {
		return nil, fmt.Errorf("PromQL: %w%s", err, suggestion(err))
	}
	return tree, nil
}

// suggestion names the function that an unknown one may have meant.
func suggestion(err error) string {
	_, rest, ok := strings.Cut(err.Error(), `unknown function with name "`)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, `"`)
	best, least := "", 3
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

// Expand gives $window its length. Where the function allows it the range is
// anchored: it then counts from the last sample before the window, so that the
// increase of a counter is exact instead of extrapolated.
func Expand(expr string, window time.Duration) (string, error) {
	tree, err := parse(expr)
	if err != nil {
		return "", err
	}
	expand(tree, window)
	return tree.String(), nil
}

// Increase turns an expression over counters, as SLO files hold them, into
// their increase over the window: sum(x) becomes sum(increase(x[12s] anchored)).
// An expression that has $window itself is only expanded.
func Increase(expr string, window time.Duration) (string, error) {
	tree, err := parse(expr)
	if err != nil {
		return "", err
	}
	if !strings.Contains(expr, windowName) {
		if tree, err = increase(tree); err != nil {
			return "", err
		}
	}
	expand(tree, window)
	return tree.String(), nil
}

// expand replaces the sentinel in ranges, subqueries and offsets.
func expand(tree parser.Expr, window time.Duration) {
	parser.Inspect(tree, func(n parser.Node, path []parser.Node) error {
		switch n := n.(type) {
		case *parser.MatrixSelector:
			if n.Range == sentinel {
				n.Range = window
				if vs, ok := n.VectorSelector.(*parser.VectorSelector); ok {
					vs.Anchored = !vs.Smoothed && anchorable(path)
				}
			}
		case *parser.SubqueryExpr:
			if n.Range == sentinel {
				n.Range = window
			}
		case *parser.VectorSelector:
			if n.OriginalOffset == sentinel {
				n.OriginalOffset = window
			}
		}
		return nil
	})
}

func anchorable(path []parser.Node) bool {
	if len(path) == 0 {
		return false
	}
	// The selector of a call stands directly below it, or below its argument list.
	for _, p := range slices.Backward(path) {
		if call, ok := p.(*parser.Call); ok {
			_, ok := promql.AnchoredSafeFunctions[call.Func.Name]
			return ok
		}
	}
	return false
}

var errRange = errors.New("PromQL: a range without $window: counters are turned into their increase by themselves")

// increase wraps every instant selector.
func increase(tree parser.Expr) (parser.Expr, error) {
	switch e := tree.(type) {
	case *parser.VectorSelector:
		return &parser.Call{
			Func: parser.Functions["increase"],
			Args: parser.Expressions{&parser.MatrixSelector{VectorSelector: e, Range: sentinel}},
		}, nil
	case *parser.MatrixSelector, *parser.SubqueryExpr:
		return nil, errRange
	case *parser.AggregateExpr:
		return e, replace(&e.Expr)
	case *parser.ParenExpr:
		return e, replace(&e.Expr)
	case *parser.UnaryExpr:
		return e, replace(&e.Expr)
	case *parser.BinaryExpr:
		return e, errors.Join(replace(&e.LHS), replace(&e.RHS))
	case *parser.Call:
		for i := range e.Args {
			if err := replace(&e.Args[i]); err != nil {
				return nil, err
			}
		}
	}
	return tree, nil
}

func replace(e *parser.Expr) error {
	inner, err := increase(*e)
	if err == nil {
		*e = inner
	}
	return err
}
