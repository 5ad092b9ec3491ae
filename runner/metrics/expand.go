package metrics

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// Expand gives $window its length. Where the function allows it the range is
// anchored: it then counts from the last sample before the window, so that the
// increase of a counter is exact instead of extrapolated.
func Expand(expr string, window time.Duration) (string, error) {
	tree, uses, err := parse(expr)
	if err != nil {
		return "", err
	}
	return expandAll(tree, uses, window)
}

func expandAll(tree parser.Expr, uses int, window time.Duration) (string, error) {
	if window < time.Millisecond {
		return "", fmt.Errorf("PromQL: a window of %s: the shortest is a millisecond", window)
	}
	if expand(tree, window) < uses {
		return "", fmt.Errorf("PromQL: %s is a length of time: it stands in a range, an offset or a calculation", windowName)
	}
	return tree.String(), nil
}

// Increase turns an expression over counters, as SLO files hold them, into
// their increase over the window: sum(x) becomes sum(increase(x[12s] anchored)).
// An expression that has $window itself is only expanded.
func Increase(expr string, window time.Duration) (string, error) {
	tree, uses, err := parse(expr)
	if err != nil {
		return "", err
	}
	if uses == 0 {
		if tree, err = increase(tree); err != nil {
			return "", err
		}
	}
	return expandAll(tree, uses, window)
}

// expand replaces the sentinel wherever PromQL takes a length of time, and
// returns how often.
func expand(tree parser.Expr, window time.Duration) (n int) {
	put := func(d *time.Duration) bool {
		switch *d {
		case sentinel:
			*d = window
		case -sentinel: // offset -$window
			*d = -window
		default:
			return false
		}
		n++
		return true
	}
	parser.Inspect(tree, func(node parser.Node, path []parser.Node) error {
		switch e := node.(type) {
		case *parser.MatrixSelector:
			if vs, ok := e.VectorSelector.(*parser.VectorSelector); put(&e.Range) && ok {
				vs.Anchored = !vs.Smoothed && anchorable(path)
			}
		case *parser.SubqueryExpr:
			put(&e.Range)
			put(&e.Step)
			put(&e.OriginalOffset)
		case *parser.VectorSelector:
			put(&e.OriginalOffset)
		case *parser.NumberLiteral:
			if d := time.Duration(e.Val) * time.Second; e.Duration && put(&d) {
				e.Val = d.Seconds()
			}
		}
		return nil
	})
	return n
}

// anchorable: the function that takes the range at the end of path allows it.
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
