package spec

import (
	"reflect"
	"slices"

	"go.yaml.in/yaml/v4"
)

// Load reads a scenario file. The scenario is usable only where there are no
// problems; files that it names are not touched.
func Load(path string) (*Scenario, Problems) {
	src, ps := readFile(path)
	if len(ps) > 0 {
		return nil, ps
	}
	return Parse(path, src)
}

// Parse reads the text of a scenario file; file is its name in problems. With
// problems, the scenario holds what could be read, or is nil.
func Parse(file string, src []byte) (*Scenario, Problems) {
	s := &Scenario{File: file}
	root, d := decodeRoot(file, src, s, nil)
	if root == nil {
		return nil, d.problems
	}
	v := validator{root: Node{at: d.pos(root), node: root}, problems: d.problems}
	v.scenario(s)
	return s, v.problems.Explained("squall explain scenario").Unique()
}

// LoadSystem reads a system file, and the SLO and rule files it names.
func LoadSystem(path string) (*System, Problems) {
	src, ps := readFile(path)
	if len(ps) > 0 {
		return nil, ps
	}
	s, ps := ParseSystem(path, src)
	if s == nil {
		return nil, ps
	}
	return s, slices.Concat(ps, s.loadSLOs(), s.loadAlerts()).Unique()
}

// ParseSystem reads the text of a system file without the files it names.
func ParseSystem(file string, src []byte) (*System, Problems) {
	s := &System{File: file}
	root, d := decodeRoot(file, src, s, fillDefaults)
	if root == nil {
		return nil, d.problems
	}
	s.src = Node{at: d.pos(root), node: root}
	s.complete()
	v := validator{root: s.src, problems: d.problems}
	v.system(s)
	return s, v.problems.Explained("squall explain system").Unique()
}

// decodeRoot decodes the one document of a file into a pointer to a struct,
// once prepare, if any, has completed it.
func decodeRoot(file string, src []byte, into any, prepare func(file string, root *yaml.Node) Problems) (*yaml.Node, *decoder) {
	d := &decoder{file: file}
	root, ps := parseOne(file, src)
	d.problems = ps
	if root == nil || d.otherKind(root, reflect.TypeOf(into).Elem().Name()) {
		return nil, d
	}
	if prepare != nil {
		if ps := prepare(file, root); len(ps) > 0 {
			d.problems = append(d.problems, ps...)
			return nil, d
		}
	}
	d.value(reflect.ValueOf(into).Elem(), root, "")
	return root, d
}

// checkedBy says what to do with a file of each kind.
var checkedBy = map[string]string{
	"Scenario": "squall validate", "System": "squall doctor --system", "GameDay": "squall gameday plan",
}

// otherKind tells a file of another kind, of which nothing else is worth saying.
func (d *decoder) otherKind(root *yaml.Node, want string) bool {
	if root.Kind != yaml.MappingNode {
		return false
	}
	for _, e := range entries(root) {
		found := resolve(e.value)
		if by := checkedBy[found.Value]; e.key.Value == "kind" && by != "" && found.Value != want {
			d.fail(found, "this is a %s, not a %s: %s checks it", found.Value, want, by)
			return true
		}
	}
	return false
}
