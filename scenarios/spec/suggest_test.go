package spec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSuggest(t *testing.T) {
	words := []string{"net-latency", "net-down", "duration", "during", "at", "for", "atLeast"}
	for word, want := range map[string]string{
		"duraton":               "duration",
		"net-latncy":            "net-latency",
		"net_latency":           "net-latency",
		"atleast":               "atLeast",
		"fro":                   "for", // neighbours swapped
		"durign":                "during",
		"bandwidth":             "",
		"xy":                    "",
		"":                      "",
		"during":                "", // the word itself is no suggestion
		strings.Repeat("a", 99): "",
	} {
		assert.Equal(t, want, Suggest(word, words), word)
	}
	assert.Empty(t, Suggest("anything", nil))
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"größe", "grösse", 2}} {
		assert.Equal(t, c.want, distance(c.a, c.b), c.a+" "+c.b)
		assert.Equal(t, c.want, distance(c.b, c.a), "symmetric")
	}
}
