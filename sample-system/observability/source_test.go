package observability_test

import (
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/servicetest"
)

// registered reads the shop's code for what it registers, and adds what every
// process has of itself.
func registered(t *testing.T) map[string]metric {
	known := map[string]metric{
		"up":     {},
		"ALERTS": {labels: map[string]bool{"alertname": true, "alertstate": true, "severity": true}},
	}
	families, err := servicetest.Host(t).Metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		known[f.GetName()] = metric{}
	}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := goparser.ParseFile(token.NewFileSet(), path, nil, goparser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if name, m, ok := registration(file, call); ok {
					for label := range m.labels {
						assert.NotContains(t, target, label, "%s: %s: a target's label, it would be stored as exported_%s", path, name, label)
					}
					maps.Copy(m.labels, known[name].labels)
					known[name] = m
				}
			}
			return true
		})
		return nil
	}))
	require.Greater(t, len(known), 60, "the search has gone wrong")
	return known
}

// registration is what a call registers, if it is one that does:
// h.Counter(name, help, labels...), h.GaugeFunc(name, help, labels, read),
// prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name}, labels),
// prometheus.NewDesc(name, help, labels, constant).
func registration(file *ast.File, call *ast.CallExpr) (name string, m metric, ok bool) {
	fun, isMethod := call.Fun.(*ast.SelectorExpr)
	if !isMethod || len(call.Args) == 0 {
		return "", m, false
	}
	m = metric{histogram: strings.Contains(fun.Sel.Name, "Histogram"), labels: map[string]bool{}}
	if opts, isOpts := call.Args[0].(*ast.CompositeLit); isOpts && strings.HasPrefix(fun.Sel.Name, "New") {
		name = field(opts, "Name")
	} else if slices.Contains([]string{"Histogram", "Counter", "Gauge", "GaugeFunc", "NewDesc"}, fun.Sel.Name) && len(call.Args) > 1 {
		name = text(call.Args[0])
	}
	for _, arg := range call.Args[1:] {
		m.add(file, arg)
	}
	return name, m, name != ""
}

// add takes up the labels of an argument: "a", []string{"a"},
// prometheus.Labels{"a": x}, or a variable that holds one.
func (m metric) add(file *ast.File, arg ast.Expr) {
	switch arg := arg.(type) {
	case *ast.BasicLit:
		if name := text(arg); regexp.MustCompile(`^[a-z_]+$`).MatchString(name) { // the help text is none
			m.labels[name] = true
		}
	case *ast.CompositeLit:
		for _, e := range arg.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				e = kv.Key
			}
			m.labels[text(e)] = true
		}
	case *ast.Ident:
		ast.Inspect(file, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
				if to, ok := a.Lhs[0].(*ast.Ident); ok && to.Name == arg.Name {
					if lit, ok := a.Rhs[0].(*ast.CompositeLit); ok {
						m.add(file, lit)
					}
				}
			}
			return true
		})
	}
}

func field(lit *ast.CompositeLit, name string) string {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				return text(kv.Value)
			}
		}
	}
	return ""
}

// text is the value of a string literal, empty for anything else.
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}
