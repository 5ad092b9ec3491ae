package spec

import "go.yaml.in/yaml/v4"

// Node is a part of a file that is decoded later, by whoever knows its type.
type Node struct {
	file string
	node *yaml.Node
}

// IsZero reports whether the part was absent.
func (n Node) IsZero() bool { return n.node == nil }
