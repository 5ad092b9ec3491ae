package metrics

import (
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"
)

// Shape says what the value of an expression estimates, and so how sure it is.
type Shape int

// The shapes.
const (
	Exact    Shape = iota // a gauge, a rate, a count: what was measured is what there was
	Quantile              // of a distribution
	Share                 // of events: between 0 and 1 by its making
)

// Estimate is what an expression estimates.
type Estimate struct {
	Shape
	Quantile float64 // which one

	// At is the expression for another quantile.
	At func(q float64) string
	// UpTo is the expression for the share of events that are not above a value
	// of this one; nil where it is made of several distributions.
	UpTo func(v float64) string
}

// EstimateOf looks at an expanded expression.
func EstimateOf(expr string) (Estimate, error) {
	tree, err := promParser.ParseExpr(expr)
	if err != nil {
		return Estimate{}, fmt.Errorf("PromQL: %w", err)
	}
	if isShare(tree) {
		return Estimate{Shape: Share}, nil
	}
	call, scale, single := quantileOf(tree)
	if call == nil {
		return Estimate{}, nil
	}
	lit, ok := call.Args[0].(*parser.NumberLiteral)
	if !ok || !(lit.Val > 0 && lit.Val < 1) {
		return Estimate{}, nil
	}
	e := Estimate{Shape: Quantile, Quantile: lit.Val, At: func(q float64) string {
		was := lit.Val
		defer func() { lit.Val = was }()
		lit.Val = q
		return tree.String()
	}}
	if single {
		e.UpTo = func(v float64) string { return upTo(v/scale, call.Args[1]) }
	}
	return e, nil
}

// upTo is the share of a distribution's events that are not above a value.
func upTo(v float64, distribution parser.Expr) string {
	none, most := &parser.NumberLiteral{Val: math.Inf(-1)}, &parser.NumberLiteral{Val: v}
	return (&parser.Call{Func: parser.Functions["histogram_fraction"], Args: parser.Expressions{none, most, distribution}}).String()
}

// quantileOf finds the histogram_quantile that an expression grows with: alone,
// scaled, or aggregated by its order, so that it is no longer a single one.
func quantileOf(e parser.Expr) (call *parser.Call, scale float64, single bool) {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return quantileOf(e.Expr)
	case *parser.AggregateExpr:
		if slices.Contains([]parser.ItemType{parser.MAX, parser.MIN, parser.AVG}, e.Op) {
			call, scale, _ = quantileOf(e.Expr)
			return call, scale, false
		}
	case *parser.BinaryExpr:
		n, ok := e.RHS.(*parser.NumberLiteral)
		if !ok || n.Val <= 0 {
			return nil, 0, false
		}
		call, scale, single = quantileOf(e.LHS)
		switch e.Op {
		case parser.MUL:
			return call, scale * n.Val, single
		case parser.DIV:
			return call, scale / n.Val, single
		}
	case *parser.Call:
		if e.Func.Name == "histogram_quantile" {
			return e, 1, true
		}
	}
	return nil, 0, false
}

// isShare: counted events of a metric over all events of the same metric, which
// is a number of successes in a number of trials; or one less that.
func isShare(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return isShare(e.Expr)
	case *parser.Call:
		return e.Func.Name == "histogram_fraction"
	case *parser.BinaryExpr:
		if one, ok := e.LHS.(*parser.NumberLiteral); ok && e.Op == parser.SUB && one.Val == 1 {
			return isShare(e.RHS)
		}
		part, whole := counted(e.LHS), counted(e.RHS)
		return e.Op == parser.DIV && part != "" && part == whole
	}
	return false
}

// counted is the metric whose events an expression counts, if it is that simple.
func counted(e parser.Expr) string {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return counted(e.Expr)
	case *parser.AggregateExpr:
		if e.Op == parser.SUM {
			return counted(e.Expr)
		}
	case *parser.Call:
		if e.Func.Name != "rate" && e.Func.Name != "increase" {
			return ""
		}
		if m, ok := e.Args[0].(*parser.MatrixSelector); ok {
			return m.VectorSelector.(*parser.VectorSelector).Name
		}
	}
	return ""
}
