package spec

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/OpenSLO/go-sdk/pkg/openslo"
	v1 "github.com/OpenSLO/go-sdk/pkg/openslo/v1"
	"github.com/OpenSLO/go-sdk/pkg/openslosdk"
	"github.com/nobl9/govy/pkg/govy"
	"go.yaml.in/yaml/v4"
)

// openSLOKinds are the objects a file may hold. Squall uses SLO and SLI; the
// others may stand beside them.
var openSLOKinds = map[string]reflect.Type{
	"SLO":                     reflect.TypeFor[v1.SLO](),
	"SLI":                     reflect.TypeFor[v1.SLI](),
	"Service":                 reflect.TypeFor[v1.Service](),
	"DataSource":              reflect.TypeFor[v1.DataSource](),
	"AlertPolicy":             reflect.TypeFor[v1.AlertPolicy](),
	"AlertCondition":          reflect.TypeFor[v1.AlertCondition](),
	"AlertNotificationTarget": reflect.TypeFor[v1.AlertNotificationTarget](),
}

// openSLODocuments splits a file into its documents; empty ones are left out.
func openSLODocuments(file string, src []byte) ([]Node, Problems) {
	docs, ps := parseAll(file, src)
	var out []Node
	for _, doc := range docs {
		if root := doc.Content[0]; !isNull(root) {
			out = append(out, Node{at: Pos{file, root.Line, root.Column}, node: root})
		}
	}
	if len(ps) == 0 && len(out) == 0 {
		ps = Problems{{Pos: Pos{file, 1, 1}, Msg: "the file is empty"}}
	}
	return out, ps
}

// decodeOpenSLO reads one object strictly. The object is nil where there were
// problems.
func decodeOpenSLO(doc Node) (openslo.Object, Problems) {
	d := decoder{file: doc.at.File}
	kind := d.openSLOKind(doc)
	if kind == nil {
		return nil, d.problems
	}
	if d.jsonKeys(doc.node, kind, ""); len(d.problems) > 0 {
		return nil, d.problems
	}
	src, err := doc.MarshalJSON()
	if err != nil {
		return nil, Problems{doc.Problem(err.Error(), "")}
	}
	objects, err := openslosdk.Decode(bytes.NewReader(src), openslosdk.FormatJSON)
	if err != nil {
		return nil, Problems{openSLOTypeProblem(doc, err)}
	}
	if err := objects[0].Validate(); err != nil {
		return nil, openSLORuleProblems(doc, err)
	}
	return objects[0], nil
}

// openSLOKind is the Go type of the object, or nil and a problem.
func (d *decoder) openSLOKind(doc Node) reflect.Type {
	if doc.node.Kind != yaml.MappingNode {
		d.fail(doc.node, "want an OpenSLO object, found %s", found(doc.node))
		return nil
	}
	text := func(key string) string {
		if n := child(doc.node, key); n != nil {
			return resolve(n).Value
		}
		return ""
	}
	version, kind := text("apiVersion"), text("kind")
	if version != "openslo/v1" {
		d.problems = append(d.problems, Problem{Pos: doc.At("apiVersion"), Msg: fmt.Sprintf("apiVersion: want openslo/v1, found %s", quote(version))})
		return nil
	}
	t := openSLOKinds[kind]
	if t == nil {
		d.problems = append(d.problems, Problem{Pos: doc.At("kind"), Msg: fmt.Sprintf("kind: OpenSLO has no kind %s", quote(kind)), Suggest: Suggest(kind, sorted(openSLOKinds))})
	}
	return t
}

// jsonKeys reports keys that a type of the OpenSLO SDK does not know, which
// the SDK would report one at a time and without a place.
func (d *decoder) jsonKeys(n *yaml.Node, t reflect.Type, name string) {
	n = resolve(n)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()),
		reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
	case t.Kind() == reflect.Slice && n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			d.jsonKeys(item, t.Elem(), name)
		}
	case t.Kind() == reflect.Struct && n.Kind == yaml.MappingNode:
		known := jsonFields(t)
		es, _ := d.entries(t, n, name)
		for _, e := range es {
			if ft, ok := known[e.key.Value]; ok {
				d.jsonKeys(e.value, ft, e.key.Value)
			} else {
				d.suggest(e.key, Suggest(e.key.Value, sorted(known)), "unknown field %s%s", quote(e.key.Value), inside(name))
			}
		}
	}
}

// jsonFields are the keys of a struct by its json tags, embedded structs included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case key != "" && key != "-":
			out[key] = f.Type
		case f.Anonymous:
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			for k, ft := range jsonFields(inner) {
				out[k] = ft
			}
		}
	}
	return out
}

// openSLOTypeProblem places an error of the SDK's decoder.
func openSLOTypeProblem(doc Node, err error) Problem {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		at := doc.At(strings.Split(wrong.Field, ".")...)
		return Problem{Pos: at, Msg: fmt.Sprintf("%s: want %s, found a %s", wrong.Field, openSLOType(wrong.Type), wrong.Value)}
	}
	return doc.Problem("not OpenSLO: "+err.Error(), "")
}

func openSLOType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct:
		return "a mapping"
	case reflect.Slice:
		return "a list"
	default:
		return wanted(t)
	}
}

// pathSegment matches the parts of spec.objectives[0].target.
var pathSegment = regexp.MustCompile(`[^.\[\]']+`)

// openSLORuleProblems places the errors of the SDK's rules.
func openSLORuleProblems(doc Node, err error) Problems {
	var rules *govy.ValidatorError
	if !errors.As(err, &rules) {
		return Problems{doc.Problem("not OpenSLO: "+err.Error(), "")}
	}
	var ps Problems
	for _, p := range rules.Errors {
		path := p.PropertyPath.String()
		at := doc.At(pathSegment.FindAllString(path, -1)...)
		for _, e := range p.Errors {
			ps = append(ps, Problem{Pos: at, Msg: fmt.Sprintf("%s: %s", path, e.Message)})
		}
	}
	return ps
}
