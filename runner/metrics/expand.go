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
	return expandAll(tree, uses, window, false)
}

// Slice is Expand for a window as short as a few scrapes. Where the function
// allows it the range is smoothed: its ends are interpolated between scrapes, so
// that a slice has its own events and not those of the scrapes that fall into it.
func Slice(expr string, window time.Duration) (string, error) {
	tree, uses, err := parse(expr)
	if err != nil {
		return "", err
	}
	return expandAll(tree, uses, window, true)
}

func expandAll(tree parser.Expr, uses int, window time.Duration, smooth bool) (string, error) {
	if window < time.Millisecond {
		return "", fmt.Errorf("PromQL: a window of %s: the shortest is a millisecond", window)
	}
	if expand(tree, window, smooth) < uses {
		return "", fmt.Errorf("PromQL: %s is a length of time: it stands in a range, an offset or a calculation", windowName)
	}
	return tree.String(), nil
}

// Scaled is an expression in which every range, offset and step is so many times
// as long, to the millisecond: an hour of a rule can be seconds of a run.
func Scaled(expr string, factor float64) (string, error) {
	tree, err := promParser.ParseExpr(expr)
	if err != nil {
		return "", fmt.Errorf("PromQL: %w", err)
	}
	scale := func(ds ...*time.Duration) {
		for _, d := range ds {
			*d = time.Duration(float64(*d) * factor).Round(time.Millisecond)
		}
	}
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		switch e := node.(type) {
		case *parser.MatrixSelector:
			scale(&e.Range)
		case *parser.SubqueryExpr:
			scale(&e.Range, &e.Step, &e.OriginalOffset)
		case *parser.VectorSelector:
			scale(&e.OriginalOffset)
		}
		return nil
	})
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
	return expandAll(tree, uses, window, false)
}

// expand replaces the sentinel wherever PromQL takes a length of time, and
// returns how often.
func expand(tree parser.Expr, window time.Duration, smooth bool) (n int) {
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
				vs.Smoothed = vs.Smoothed || smooth && !vs.Anchored && allows(promql.SmoothedSafeFunctions, path)
				vs.Anchored = !vs.Smoothed && allows(promql.AnchoredSafeFunctions, path)
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

// allows: the function that takes the range at the end of path is one of those.
func allows(functions map[string]struct{}, path []parser.Node) bool {
	if len(path) == 0 {
		return false
	}
	// The selector of a call stands directly below it, or below its argument list.
	for _, p := range slices.Backward(path) {
		if call, ok := p.(*parser.Call); ok {
			_, ok := functions[call.Func.Name]
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
