package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Node is a part of a file that is decoded later, by whoever knows its type.
// The zero Node is an absent part.
type Node struct {
	name string // key it stood under, for messages
	at   Pos    // of the value; of the mapping that lacks it where it is absent
	node *yaml.Node
}

// NodeFrom makes a node of a Go value, as if it had been written in a file.
// It is for tests and generated scenarios and panics on what YAML cannot hold.
func NodeFrom(v any) Node {
	src, err := yaml.Dump(v)
	if err != nil {
		panic(fmt.Sprintf("spec: make node: %v", err))
	}
	root, ps := parseOne("", src)
	if len(ps) > 0 {
		panic(fmt.Sprintf("spec: make node: %v", ps))
	}
	return Node{at: Pos{Line: root.Line, Col: root.Column}, node: root}
}

// IsZero reports whether the part was absent.
func (n Node) IsZero() bool { return n.node == nil }

// Pos is where the part's value stands.
func (n Node) Pos() Pos { return n.at }

// At is the position of the value under a path of keys and list indexes
// ("faults", "0", "on"); where the path ends early, of its deepest part.
func (n Node) At(path ...string) Pos {
	if n.node == nil {
		return n.at
	}
	at := resolve(n.node)
	for _, key := range path {
		next := child(at, key)
		if next == nil {
			break
		}
		at = resolve(next)
	}
	return Pos{n.at.File, at.Line, at.Column}
}

// Get is the part under a path of keys and list indexes; absent where there is none.
func (n Node) Get(path ...string) Node {
	if n.node == nil {
		return n
	}
	at := n.node
	for _, key := range path {
		if at = child(resolve(at), key); at == nil {
			return Node{name: key, at: n.at}
		}
		n = Node{name: key, at: Pos{n.at.File, at.Line, at.Column}, node: at}
	}
	return n
}

// Value is the text of a scalar; "" of anything else.
func (n Node) Value() string {
	if n.node == nil || resolve(n.node).Kind != yaml.ScalarNode {
		return ""
	}
	return resolve(n.node).Value
}

// IsMapping reports whether the part is a mapping; an absent one reads like an empty one.
func (n Node) IsMapping() bool { return n.node == nil || resolve(n.node).Kind == yaml.MappingNode }

// Holds reports whether something stands within the part.
func (n Node) Holds(pos Pos) bool {
	return n.node != nil && pos.File == n.at.File && holds(n.node, pos)
}

func holds(n *yaml.Node, pos Pos) bool {
	n = resolve(n)
	return n.Line == pos.Line && n.Column == pos.Col ||
		slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return holds(c, pos) })
}

// Without is the mapping without some of its keys; n stays as it was.
func (n Node) Without(keys []string) Node {
	if n.node == nil || resolve(n.node).Kind != yaml.MappingNode {
		return n
	}
	m := *resolve(n.node)
	m.Content = nil
	for pair := range slices.Chunk(resolve(n.node).Content, 2) {
		if !slices.Contains(keys, resolve(pair[0]).Value) {
			m.Content = append(m.Content, pair...)
		}
	}
	n.node = &m
	return n
}

// Key is where a key of this mapping itself stands; Pos where there is none.
func (n Node) Key(key string) Pos {
	if n.node != nil && resolve(n.node).Kind == yaml.MappingNode {
		for _, p := range entries(resolve(n.node)) {
			if p.key.Value == key {
				return Pos{n.at.File, p.key.Line, p.key.Column}
			}
		}
	}
	return n.at
}

// child finds a key of a mapping or an index of a list.
func child(n *yaml.Node, key string) *yaml.Node {
	switch n.Kind {
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i]
		}
	case yaml.MappingNode:
		for _, p := range entries(n) {
			if p.key.Value == key {
				return p.value
			}
		}
	}
	return nil
}

// Problem is a mistake in this part.
func (n Node) Problem(msg, suggest string) Problem {
	return Problem{Pos: n.at, Msg: msg, Suggest: suggest}
}

// Decode fills into, a pointer, by the rules of the file formats: yaml, spec
// and doc tags, defaults, strict keys. Absent parts decode like an empty
// mapping. The error is Problems, every mistake at its place in the file.
func (n Node) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("decode %s: want a pointer, got %T", n.name, into)
	}
	d := decoder{file: n.at.File}
	node := n.node
	if node == nil {
		node = &yaml.Node{Kind: yaml.MappingNode, Line: n.at.Line, Column: n.at.Col}
	}
	d.value(v.Elem(), node, n.name)
	return d.problems.Unique().Err()
}

// decodeNode keeps the part as it is; an empty value counts as absent.
func (n *Node) decodeNode(d *decoder, node *yaml.Node, name string) {
	*n = Node{name: name, at: d.pos(node)}
	if !isNull(resolve(node)) {
		n.node = node
	}
}

// MarshalJSON writes the part as it was written, keys in their order.
func (n Node) MarshalJSON() ([]byte, error) {
	if n.node == nil {
		return []byte("null"), nil
	}
	var b bytes.Buffer
	if err := writeJSON(&b, n.node); err != nil {
		return nil, fmt.Errorf("write %s: %w", n.name, err)
	}
	return b.Bytes(), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (n *Node) UnmarshalJSON(src []byte) error {
	root, ps := parseOne("", src)
	if len(ps) > 0 {
		return ps
	}
	n.decodeNode(&decoder{}, root, "")
	return nil
}

func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	n = resolve(n)
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i, p := range entries(n) {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(b, p.key.Value)
			b.WriteByte(':')
			if err := writeJSON(b, p.value); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, c := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, c); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case yaml.ScalarNode:
		writeScalar(b, n)
	default:
		return fmt.Errorf("line %d: unknown kind of YAML node", n.Line)
	}
	return nil
}

// writeScalar keeps numbers as written where JSON knows the spelling; any
// other scalar that is not null, true or false is a string.
func writeScalar(b *bytes.Buffer, n *yaml.Node) {
	switch n.ShortTag() {
	case "!!null":
		b.WriteString("null")
		return
	case "!!bool", "!!int", "!!float":
		// A tag may claim any text to be a number, so the text must look like one.
		if json.Valid([]byte(n.Value)) && !strings.ContainsAny(n.Value[:1], "\"{[n") {
			b.WriteString(n.Value)
			return
		}
	}
	writeString(b, n.Value)
}

func writeString(b *bytes.Buffer, s string) {
	quoted, _ := json.Marshal(s) // a string always marshals
	b.Write(quoted)
}
