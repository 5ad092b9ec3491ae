package faults

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// MatchParams choose the requests an HTTP fault applies to. All that is given must hold.
type MatchParams struct {
	Method      string `yaml:"method" doc:"Only this method, such as POST."`
	Path        string `yaml:"path" doc:"Only paths like this: * is one segment, a trailing /** any rest."`
	First       int    `yaml:"first" spec:"min=0" doc:"Only the first n matching requests."`
	Every       int    `yaml:"every" spec:"min=0" doc:"Only every nth matching request."`
	Probability *Ratio `yaml:"probability" doc:"Only this share of the matching requests, drawn per request from the seed."`
}

// match checks the choice and says it in words.
func (p MatchParams) match() (Match, string, error) {
	if p.First > 0 && p.Every > 0 {
		return Match{}, "", errors.New("first and every exclude each other")
	}
	if p.Method != strings.ToUpper(p.Method) {
		return Match{}, "", fmt.Errorf("method %q: write it in capitals", p.Method)
	}
	if _, err := path.Match(strings.TrimSuffix(p.Path, "/**"), "/"); err != nil || p.Path != "" && !strings.HasPrefix(p.Path, "/") {
		return Match{}, "", fmt.Errorf("path %q is no path pattern: write /orders/* or /orders/**", p.Path)
	}
	m := Match{Method: p.Method, Path: p.Path, First: uint64(p.First), Every: uint64(p.Every)}
	if p.Probability != nil {
		m.Probability = float64(*p.Probability)
		if m.Probability == 0 { // to the proxy zero means no limit, to a person never
			return Match{}, "", errors.New("probability is zero: nothing would happen")
		}
	}
	return m, p.words(), nil
}

func (p MatchParams) words() string {
	all, some := "every request", "requests"
	switch {
	case p.First > 0:
		some = fmt.Sprintf("the first %d requests", p.First)
		all = some
	case p.Every > 1:
		some = fmt.Sprintf("requests number %d, %d, ...", p.Every, 2*p.Every)
		all = some
	}
	which := all
	if p.Probability != nil {
		which = p.Probability.String() + " of " + some
	}
	if what := strings.TrimSpace(p.Method + " " + p.Path); what != "" {
		which += ": " + what
	}
	return which
}
