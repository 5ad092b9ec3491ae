package spec

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	v1 "github.com/OpenSLO/go-sdk/pkg/openslo/v1"
)

// loadSLOs reads the files and folders of spec.slos into s.SLOs.
func (s *System) loadSLOs() Problems {
	l := newSLOLoader()
	for i, entry := range s.Spec.SLOs {
		files, err := yamlFiles(filepath.Join(filepath.Dir(s.File), entry))
		if err != nil {
			l.fail(s.src.At("spec", "slos", strconv.Itoa(i)), "slos: cannot read %s: %v", quote(entry), err)
		}
		for _, file := range files {
			l.file(file)
		}
	}
	l.finish()
	s.SLOs, s.SLOFiles = l.slos, l.files
	return l.problems
}

// yamlFiles is the file itself, or the YAML files of a folder in order.
func yamlFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	files, err := filepath.Glob(filepath.Join(path, "*.y*ml"))
	if err == nil && len(files) == 0 {
		err = errors.New("the folder holds no .yaml file")
	}
	return files, err
}

// sloLoader collects the objects of all files before it makes SLOs of them,
// because an SLO may refer to an indicator in a later file.
type sloLoader struct {
	validator
	slos   map[string]SLO
	objs   []sloObject
	slis   map[string]v1.SLISpec
	places map[string]Node // of the SLIs
	files  []string
}

func newSLOLoader() *sloLoader {
	return &sloLoader{slos: map[string]SLO{}, slis: map[string]v1.SLISpec{}, places: map[string]Node{}}
}

type sloObject struct {
	src Node
	slo v1.SLO
}

// file notes the objects of a file; a file that is named twice counts once.
func (l *sloLoader) file(file string) {
	if slices.Contains(l.files, file) {
		return
	}
	l.files = append(l.files, file)
	src, ps := readFile(file)
	if len(ps) == 0 {
		var docs []Node
		docs, ps = openSLODocuments(file, src)
		for _, doc := range docs {
			l.document(doc)
		}
	}
	l.problems = append(l.problems, ps...)
}

func (l *sloLoader) document(doc Node) {
	object, ps := decodeOpenSLO(doc)
	l.problems = append(l.problems, ps...)
	switch o := object.(type) {
	case v1.SLO:
		l.objs = append(l.objs, sloObject{doc, o})
	case v1.SLI:
		if _, again := l.slis[o.Metadata.Name]; again {
			l.fail(doc.At("metadata", "name"), "there is already an SLI %q", o.Metadata.Name)
		}
		l.slis[o.Metadata.Name] = o.Spec
		l.places[o.Metadata.Name] = doc
	}
}

func (l *sloLoader) finish() {
	for _, o := range l.objs {
		name := o.slo.Metadata.Name
		if _, again := l.slos[name]; again {
			l.fail(o.src.At("metadata", "name"), "there is already an SLO %q", name)
			continue
		}
		l.slos[name] = l.convert(o)
	}
}

// convert takes what Squall needs: good or bad over total, and the target.
func (l *sloLoader) convert(o sloObject) SLO {
	out := SLO{Name: o.slo.Metadata.Name, Title: o.slo.Metadata.DisplayName, Pos: o.src.At("metadata", "name")}
	if m := o.slo.Spec.BudgetingMethod; m != v1.SLOBudgetingMethodOccurrences {
		l.fail(o.src.At("spec", "budgetingMethod"), "budgetingMethod: Squall counts events: want Occurrences, found %s", m)
	}
	if n := len(o.slo.Spec.Objectives); n != 1 {
		l.fail(o.src.At("spec", "objectives"), "objectives: want exactly one, found %d", n)
	} else {
		out.Target = l.target(o)
	}
	spec, at, ok := l.indicator(o)
	if !ok {
		return out
	}
	ratio := spec.RatioMetric
	switch {
	case ratio == nil:
		l.fail(at(), "the indicator of SLO %s needs a ratioMetric: good or bad events over total", out.Name)
	case ratio.Raw != nil:
		l.fail(at("ratioMetric", "raw"), "raw: Squall needs the events: want good or bad, and total")
	case !ratio.Counter:
		l.fail(at("ratioMetric", "counter"), "counter: want true: Squall takes the increase of counters over the window")
	default:
		out.Good = l.query(ratio.Good, at, "good")
		out.Bad = l.query(ratio.Bad, at, "bad")
		out.Total = l.query(ratio.Total, at, "total")
	}
	if out.Good != "" {
		out.Bad = ""
	}
	return out
}

func (l *sloLoader) target(o sloObject) float64 {
	objective := o.slo.Spec.Objectives[0]
	switch {
	case objective.Target != nil:
		return *objective.Target
	case objective.TargetPercent != nil:
		return *objective.TargetPercent / 100
	}
	l.fail(o.src.At("spec", "objectives", "0"), "the objective needs a target or targetPercent")
	return 0
}

// indicator is the SLO's own or the SLI it refers to; at finds its parts.
func (l *sloLoader) indicator(o sloObject) (spec v1.SLISpec, at func(...string) Pos, ok bool) {
	if own := o.slo.Spec.Indicator; own != nil {
		return own.Spec, func(path ...string) Pos {
			return o.src.At(append([]string{"spec", "indicator", "spec"}, path...)...)
		}, true
	}
	if o.slo.Spec.IndicatorRef == nil {
		l.fail(o.src.At("spec"), "SLO %s needs an indicator", o.slo.Metadata.Name)
		return v1.SLISpec{}, nil, false
	}
	ref := *o.slo.Spec.IndicatorRef
	spec, ok = l.slis[ref]
	if !ok {
		l.suggest(o.src.At("spec", "indicatorRef"), Suggest(ref, sorted(l.slis)), "indicatorRef: there is no SLI %q", ref)
	}
	src := l.places[ref]
	return spec, func(path ...string) Pos { return src.At(append([]string{"spec"}, path...)...) }, ok
}

// query is the PromQL of one part of a ratio; "" where the part is absent.
func (l *sloLoader) query(m *v1.SLIMetricSpec, at func(...string) Pos, part string) string {
	if m == nil {
		return ""
	}
	source := func(path ...string) Pos {
		return at(append([]string{"ratioMetric", part, "metricSource"}, path...)...)
	}
	if t := m.MetricSource.Type; t != "Prometheus" {
		l.fail(source("type"), "%s: want a metric source of type Prometheus, found %q", part, t)
	}
	for _, key := range sorted(m.MetricSource.Spec) {
		if key != "query" {
			l.suggest(source("spec", key), Suggest(key, []string{"query"}), "%s: unknown field %q in the Prometheus source", part, key)
		}
	}
	query, _ := m.MetricSource.Spec["query"].(string)
	if query == "" {
		l.fail(source("spec"), "%s: the Prometheus source needs a query", part)
	}
	return query
}
