package spec

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// AlertRule is an alert as Prometheus would evaluate it.
type AlertRule struct {
	Expr string
	For  time.Duration // how long Expr must have had a result
}

var ruleParser = parser.NewParser(parser.Options{})

// loadAlerts reads the rule files and folders of spec.alerts into s.Alerts, by
// Prometheus' own reader. Recording rules are read and not kept.
func (s *System) loadAlerts() Problems {
	var v validator
	s.Alerts = map[string]AlertRule{}
	for i, entry := range s.Spec.Alerts {
		files, err := yamlFiles(filepath.Join(filepath.Dir(s.File), entry))
		if err != nil {
			v.fail(s.src.At("spec", "alerts", strconv.Itoa(i)), "alerts: cannot read %s: %v", quote(entry), err)
		}
		for _, file := range files {
			if !slices.Contains(s.AlertFiles, file) {
				s.AlertFiles = append(s.AlertFiles, file)
				v.problems = append(v.problems, s.readAlerts(file)...)
			}
		}
	}
	return v.problems
}

func (s *System) readAlerts(file string) Problems {
	src, ps := readFile(file)
	if len(ps) > 0 {
		return ps
	}
	groups, errs := rulefmt.Parse(src, false, model.UTF8Validation, ruleParser)
	for _, err := range errs {
		ps = append(ps, ruleProblem(file, err))
	}
	if len(ps) > 0 {
		return ps
	}
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			if _, again := s.Alerts[r.Alert]; again {
				ps = append(ps, Problem{Pos: Pos{File: file, Line: 1, Col: 1}, Msg: fmt.Sprintf("there is already an alert %q", r.Alert)})
			}
			if r.Alert != "" {
				s.Alerts[r.Alert] = AlertRule{Expr: r.Expr, For: time.Duration(r.For)}
			}
		}
	}
	return ps
}

// rulePlace is how Prometheus says where a mistake is: 7:15: group ..., or line 7: ...
var rulePlace = regexp.MustCompile(`^(\d+):(\d+): |line (\d+): `)

func ruleProblem(file string, err error) Problem {
	at, msg := Pos{File: file, Line: 1, Col: 1}, err.Error()
	var rule *rulefmt.Error
	if m := rulePlace.FindStringSubmatch(msg); m != nil {
		at.Line, _ = strconv.Atoi(m[1] + m[3])
		at.Col = max(1, atoi(m[2]))
	}
	if errors.As(err, &rule) {
		msg = fmt.Sprintf("alert %s: %v", rule.RuleName, errors.Unwrap(&rule.Err))
	}
	return Problem{Pos: at, Msg: msg}
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
