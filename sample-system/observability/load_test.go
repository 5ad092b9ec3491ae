// Package observability_test shows that the dashboard and the alert rules of the
// shop load, that each metric they read is one that the shop has, and which
// alerts an outage raises.
package observability_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

var promql3 = parser.NewParser(parser.Options{})

// alerts are the rules as Prometheus itself reads them, templates included.
func alerts(t *testing.T) (rules []rulefmt.Rule) {
	groups, errs := rulefmt.ParseFile("alerts.yml", false, model.UTF8Validation, promql3)
	require.Empty(t, errs)
	for _, g := range groups.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules
}

func TestAlertsLoad(t *testing.T) {
	for _, r := range alerts(t) {
		assert.Empty(t, r.Record, "Squall evaluates alerts one by one, each must stand for itself")
		assert.Contains(t, []string{"page", "ticket"}, r.Labels["severity"], r.Alert)
		assert.NotEmpty(t, r.Annotations["summary"], r.Alert)
		assert.NotEmpty(t, r.Annotations["runbook"], r.Alert)
	}
}

// prometheusConfig is the part of Prometheus' configuration that the example
// uses. Prometheus' own reader brings all of its service discoveries along,
// which the shop does without.
type prometheusConfig struct {
	Global struct {
		ScrapeInterval         model.Duration `yaml:"scrape_interval"`
		EvaluationInterval     model.Duration `yaml:"evaluation_interval"`
		ScrapeNativeHistograms bool           `yaml:"scrape_native_histograms"`
	} `yaml:"global"`
	RuleFiles     []string `yaml:"rule_files"`
	ScrapeConfigs []struct {
		JobName       string `yaml:"job_name"`
		StaticConfigs []struct {
			Targets []string          `yaml:"targets"`
			Labels  map[string]string `yaml:"labels"`
		} `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func readConfig(t *testing.T) (cfg prometheusConfig) {
	b, err := os.ReadFile("prometheus.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Load(b, &cfg, yaml.WithKnownFields()))
	return cfg
}

func TestConfigLoads(t *testing.T) {
	cfg := readConfig(t)
	assert.True(t, cfg.Global.ScrapeNativeHistograms, "the shop has no others")
	assert.Equal(t, []string{"alerts.yml"}, cfg.RuleFiles)
	seen := map[string]bool{}
	for _, s := range cfg.ScrapeConfigs[0].StaticConfigs {
		assert.NotEmpty(t, s.Labels["job"], s.Targets)
		assert.True(t, strings.HasPrefix(s.Labels["instance"], s.Labels["job"]), s.Targets)
		for _, of := range []string{s.Targets[0], s.Labels["instance"]} {
			assert.False(t, seen[of], "%s is there twice", of)
			seen[of] = true
		}
	}
}

type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Definition string }
	}
	Annotations struct{ List []struct{ Expr string } }
	Panels      []panel
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct{ RefID, Expr, LegendFormat string }
}

func readDashboard(t *testing.T) (d dashboard) {
	b, err := os.ReadFile("dashboard.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &d))
	return d
}

// TestDashboardLoads: what Grafana wants of a dashboard: ids of their own, a
// grid without overlaps, and queries in each panel.
func TestDashboardLoads(t *testing.T) {
	d := readDashboard(t)
	assert.NotEmpty(t, d.Title)
	assert.NotEmpty(t, d.UID)
	assert.NotZero(t, d.SchemaVersion)
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		assert.False(t, ids[p.ID], "%s: id %d is taken", p.Title, p.ID)
		ids[p.ID] = true
		assert.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				assert.Empty(t, cells[cell], "%s overlaps", p.Title)
				cells[cell] = p.Title
			}
		}
		assert.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
		refs := map[string]bool{}
		for _, target := range p.Targets {
			assert.NotEmpty(t, target.LegendFormat, p.Title)
			assert.False(t, refs[target.RefID], p.Title)
			refs[target.RefID] = true
		}
	}
}

// expression is one of the dashboard's or of the rules', with the labels that
// its legend or its annotations read.
type expression struct {
	where, expr string
	reads       []string
}

// expressions are all of both files, with Grafana's variables filled in.
func expressions(t *testing.T) (list []expression) {
	fill := strings.NewReplacer("$__rate_interval", "1m", "$job", "orders|payments")
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			list = append(list, expression{"panel " + p.Title, fill.Replace(target.Expr), matches(legendLabel, target.LegendFormat)})
		}
	}
	for _, a := range d.Annotations.List {
		list = append(list, expression{"annotation", a.Expr, nil})
	}
	for _, r := range alerts(t) {
		list = append(list, expression{"alert " + r.Alert, r.Expr, matches(annotationLabel, r.Annotations["summary"]+r.Annotations["runbook"])})
	}
	return list
}
