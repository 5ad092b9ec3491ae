package spec

import "go.yaml.in/yaml/v4"

// entry is one key of a mapping with its value.
type entry struct{ key, value *yaml.Node }

// contents is a mapping taken apart: entries are unique and in order, merged
// ones last; the rest is what was wrong with it.
type contents struct {
	entries  []entry
	repeated []entry      // keys that were there before
	notWords []*yaml.Node // keys that are mappings or lists
	badMerge []*yaml.Node // values of << that are no mappings
}

// entries are the entries of a mapping without what is wrong with it.
func entries(n *yaml.Node) []entry { return read(n).entries }

func read(n *yaml.Node) contents {
	var c contents
	var merges []*yaml.Node
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		e := entry{resolve(n.Content[i]), n.Content[i+1]}
		switch {
		case e.key.Kind != yaml.ScalarNode:
			c.notWords = append(c.notWords, e.key)
		case e.key.ShortTag() == "!!merge":
			merges = append(merges, e.value)
		case seen[e.key.Value]:
			c.repeated = append(c.repeated, e)
		default:
			seen[e.key.Value] = true
			c.entries = append(c.entries, e)
		}
	}
	for _, m := range merges {
		c.merge(resolve(m), seen)
	}
	return c
}

// merge adds what << names: a mapping or a list of them. Own keys win over
// merged ones, earlier mappings over later ones.
func (c *contents) merge(from *yaml.Node, seen map[string]bool) {
	switch from.Kind {
	case yaml.SequenceNode:
		for _, m := range from.Content {
			if m = resolve(m); m.Kind == yaml.MappingNode {
				c.merge(m, seen)
			} else {
				c.badMerge = append(c.badMerge, m)
			}
		}
	case yaml.MappingNode:
		for _, e := range entries(from) {
			if !seen[e.key.Value] {
				seen[e.key.Value] = true
				c.entries = append(c.entries, e)
			}
		}
	default:
		c.badMerge = append(c.badMerge, from)
	}
}
