package spec

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Scalars lists the values of a mapping's scalar entries, in their order.
func (n Node) Scalars() (keys, values []string) {
	if n.node == nil || resolve(n.node).Kind != yaml.MappingNode {
		return nil, nil
	}
	for _, p := range entries(resolve(n.node)) {
		if v := resolve(p.value); v.Kind == yaml.ScalarNode {
			keys, values = append(keys, p.key.Value), append(values, v.Value)
		}
	}
	return keys, values
}

// Set returns the mapping with another value for a key; n stays as it was.
func (n Node) Set(key, value string) Node {
	m := *resolve(n.node)
	m.Content = append([]*yaml.Node(nil), m.Content...)
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			v := *resolve(m.Content[i+1])
			v.Value, v.Tag, v.Style = value, "", 0
			m.Content[i+1] = &v
		}
	}
	n.node = &m
	return n
}

// Scaled is a duration, ratio or number as written, times a factor. It is false
// for any other text.
func Scaled(text string, factor float64) (string, bool) {
	if d, err := time.ParseDuration(text); err == nil && d != 0 {
		return time.Duration(float64(d) * factor).String(), true
	}
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || v == 0 {
		return "", false
	}
	scaled := strconv.FormatFloat(v*factor, 'f', -1, 64)
	if percent {
		scaled += "%"
	}
	return scaled, true
}
