package faults

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// GRPCMatchParams choose the gRPC calls a fault applies to. All that is given must hold.
type GRPCMatchParams struct {
	Method      string            `yaml:"method" doc:"Only this method: /shop.Orders/Get, or /shop.Orders/* for a whole service."`
	Metadata    map[string]string `yaml:"metadata" doc:"Only calls with this metadata; a trailing * stands for any rest of a value."`
	Key         string            `yaml:"key" doc:"Only this idempotency-key or x-request-id; a trailing * stands for any rest."`
	From        int               `yaml:"from" spec:"min=0" doc:"Only from the nth matching call on; first and every count from there."`
	First       int               `yaml:"first" spec:"min=0" doc:"Only the first n matching calls, of all links of the edge together."`
	Every       int               `yaml:"every" spec:"min=0" doc:"Only every nth matching call, of all links of the edge together."`
	Probability *Ratio            `yaml:"probability" doc:"Only this share of the matching calls, drawn per call from the seed."`
}

func (p GRPCMatchParams) narrow(s *Stage) (string, error) {
	if p.Method != "" && (!strings.HasPrefix(p.Method, "/") || strings.Count(p.Method, "/") != 2 || checkCall("", p.Method) != nil) {
		return "", fmt.Errorf("method %q is no gRPC method: write /shop.Orders/Get or /shop.Orders/*", p.Method)
	}
	if err := checkHeaders(p.Metadata); err != nil {
		return "", err
	}
	words, err := chooseUnits(&s.Match, "call", ConnParams{p.From, p.First, p.Every, p.Probability})
	if err != nil {
		return "", err
	}
	s.Match.Path, s.Match.Header, s.Match.Key = p.Method, p.Metadata, p.Key
	if p.Method != "" {
		words += ": " + p.Method
	}
	for _, name := range slices.Sorted(maps.Keys(p.Metadata)) {
		words += fmt.Sprintf(", %s: %s", name, p.Metadata[name])
	}
	if p.Key != "" {
		words += ", key " + p.Key
	}
	return " for " + words, nil
}
