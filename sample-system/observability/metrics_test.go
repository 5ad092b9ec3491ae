package observability_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	legendLabel     = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	annotationLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	// target are the labels that Prometheus and Squall give each series.
	target = []string{"instance", "job"}
)

func matches(re *regexp.Regexp, s string) (names []string) {
	for _, m := range re.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	return names
}

// metric is one that the shop's code registers.
type metric struct {
	histogram bool
	labels    map[string]bool
}

// TestMetricsExist: each metric, and each label of it, that the dashboard and
// the rules read is registered somewhere in the shop; histograms are read as the
// native ones that they are.
func TestMetricsExist(t *testing.T) {
	known := registered(t)
	for _, e := range expressions(t) {
		assert.Empty(t, problems(known, e), e.where)
	}
}

// TestProblems: the test above finds what it is there to find.
func TestProblems(t *testing.T) {
	known := map[string]metric{
		"calls_total":      {labels: map[string]bool{"edge": true}},
		"duration_seconds": {histogram: true, labels: map[string]bool{"code": true}},
	}
	for name, test := range map[string]struct {
		e    expression
		want string
	}{
		"right":           {expression{expr: `sum by (edge, job) (rate(calls_total{instance="a"}[1m]))`, reads: []string{"edge"}}, ""},
		"right histogram": {expression{expr: `histogram_count(sum(rate(duration_seconds{code="500"}[1m])))`}, ""},
		"no PromQL":       {expression{expr: `sum(`}, "parse error"},
		"unknown metric":  {expression{expr: `rate(call_total[1m])`}, "nobody registers call_total"},
		"classic":         {expression{expr: `rate(duration_seconds_count[1m])`}, "nobody registers duration_seconds_count"},
		"unknown label":   {expression{expr: `rate(calls_total{code="500"}[1m])`}, "calls_total has no label code"},
		"unknown group":   {expression{expr: `sum by (callee) (rate(calls_total[1m]))`}, "nothing has the label callee"},
		"no rate":         {expression{expr: `histogram_quantile(0.9, duration_seconds)`}, "duration_seconds is a native histogram"},
		"legend":          {expression{expr: `sum by (job) (rate(calls_total[1m]))`, reads: []string{"edge"}}, "the result has no label edge"},
	} {
		t.Run(name, func(t *testing.T) {
			got := problems(known, test.e)
			if test.want == "" {
				assert.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			assert.Contains(t, got[0], test.want)
		})
	}
}

// problems are what is wrong with an expression.
func problems(known map[string]metric, e expression) (list []string) {
	tree, err := promql3.ParseExpr(e.expr)
	if err != nil {
		return []string{err.Error()}
	}
	add := func(wrong bool, format string, args ...any) {
		if wrong {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	all := map[string]bool{}
	inspect(tree, func(v *parser.VectorSelector, path []parser.Node) {
		m, ok := known[v.Name]
		add(!ok, "nobody registers %s", v.Name)
		for _, matcher := range v.LabelMatchers {
			add(ok && matcher.Name != "__name__" && !m.has(matcher.Name), "%s has no label %s", v.Name, matcher.Name)
		}
		add(m.histogram && !under(path, "rate"), "%s is a native histogram, read its rate", v.Name)
		maps.Copy(all, m.labels)
	})
	inspect(tree, func(a *parser.AggregateExpr, _ []parser.Node) {
		for _, name := range a.Grouping {
			add(!all[name] && !slices.Contains(target, name), "nothing has the label %s", name)
		}
	})
	for _, name := range e.reads {
		add(!gives(tree, all, name), "the result has no label %s", name)
	}
	return list
}

// inspect visits all nodes of one kind.
func inspect[N parser.Node](tree parser.Expr, visit func(n N, path []parser.Node)) {
	parser.Inspect(tree, func(n parser.Node, path []parser.Node) error {
		if n, ok := n.(N); ok {
			visit(n, path)
		}
		return nil
	})
}

// gives reports whether the result of an expression can have a label.
func gives(tree parser.Expr, selected map[string]bool, name string) bool {
	grouped, kept := false, false
	inspect(tree, func(a *parser.AggregateExpr, _ []parser.Node) {
		grouped = true
		kept = kept || slices.Contains(a.Grouping, name)
	})
	return kept || !grouped && (selected[name] || slices.Contains(target, name))
}

// has reports whether a metric has a label when it is stored.
func (m metric) has(name string) bool { return m.labels[name] || slices.Contains(target, name) }

func under(path []parser.Node, function string) bool {
	return slices.ContainsFunc(path, func(n parser.Node) bool {
		c, ok := n.(*parser.Call)
		return ok && c.Func.Name == function
	})
}
