package faults

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// MatchParams choose the requests a fault applies to. All that is given must hold.
type MatchParams struct {
	Method      string            `yaml:"method" doc:"Only this method, such as POST."`
	Path        string            `yaml:"path" doc:"Only paths like this: * is one segment, a trailing /** any rest."`
	Header      map[string]string `yaml:"header" doc:"Only requests with these header fields; a trailing * stands for any rest of a value."`
	Key         string            `yaml:"key" doc:"Only this Idempotency-Key or X-Request-Id; a trailing * stands for any rest."`
	From        int               `yaml:"from" spec:"min=0" doc:"Only from the nth matching request on; first and every count from there."`
	First       int               `yaml:"first" spec:"min=0" doc:"Only the first n matching requests, of all links of the edge together."`
	Every       int               `yaml:"every" spec:"min=0" doc:"Only every nth matching request, of all links of the edge together."`
	Probability *Ratio            `yaml:"probability" doc:"Only this share of the matching requests, drawn per request from the seed."`
}

// ConnParams choose the connections a fault applies to: those that live when it
// is injected, oldest first, then new ones as they come. All that is given must
// hold. What is decided for a connection holds for its life.
type ConnParams struct {
	From        int    `yaml:"from" spec:"min=0" doc:"Only from the nth connection on; first and every count from there."`
	First       int    `yaml:"first" spec:"min=0" doc:"Only the first n connections, of all links of the edge together."`
	Every       int    `yaml:"every" spec:"min=0" doc:"Only every nth connection, of all links of the edge together."`
	Probability *Ratio `yaml:"probability" doc:"Only this share of the connections, drawn per connection from the seed."`
}

// narrowing is a group of parameters that limits a stage.
type narrowing interface {
	// narrow checks the parameters, enters them in s and says them in words, which
	// follow those of the fault; empty where nothing is limited.
	narrow(s *Stage) (words string, err error)
}

// newStageFault is a fault that is nothing but s, limited by what is given.
func newStageFault(says string, s Stage, limits ...narrowing) (Fault, error) {
	for _, l := range limits {
		words, err := l.narrow(&s)
		if err != nil {
			return nil, err
		}
		says += words
	}
	return stageFault{says: says, stage: s}, nil
}

func (p MatchParams) narrow(s *Stage) (string, error) {
	if err := checkCall(p.Method, p.Path); err != nil {
		return "", err
	}
	if err := checkHeaders(p.Header); err != nil {
		return "", err
	}
	words, err := chooseUnits(&s.Match, "request", ConnParams{p.From, p.First, p.Every, p.Probability})
	if err != nil {
		return "", err
	}
	s.Match.Method, s.Match.Path, s.Match.Header, s.Match.Key = p.Method, p.Path, p.Header, p.Key
	if what := strings.TrimSpace(p.Method + " " + p.Path); what != "" {
		words += ": " + what
	}
	for _, name := range slices.Sorted(maps.Keys(p.Header)) {
		words += fmt.Sprintf(", %s: %s", name, p.Header[name])
	}
	if p.Key != "" {
		words += ", key " + p.Key
	}
	return " for " + words, nil
}

// checkCall checks a method and a pattern of paths.
func checkCall(method, pattern string) error {
	if method != strings.ToUpper(method) {
		return fmt.Errorf("method %q: write it in capitals", method)
	}
	if _, err := path.Match(strings.TrimSuffix(pattern, "/**"), "/"); err != nil || pattern != "" && !strings.HasPrefix(pattern, "/") {
		return fmt.Errorf("path %q is no path pattern: write /orders/* or /orders/**", pattern)
	}
	return nil
}

func (p ConnParams) narrow(s *Stage) (string, error) {
	words, err := chooseUnits(&s.Match, "connection", p)
	if err != nil || p == (ConnParams{}) {
		return "", err
	}
	return " on " + words, nil
}

// chooseUnits enters a choice by index and chance.
func chooseUnits(m *Match, unit string, p ConnParams) (string, error) {
	if p.First > 0 && p.Every > 0 {
		return "", errors.New("first and every exclude each other")
	}
	m.From, m.First, m.Every = uint64(p.From), uint64(p.First), uint64(p.Every)
	if p.Probability != nil {
		m.Probability = float64(*p.Probability)
		if m.Probability == 0 { // to the proxy zero means no limit, to a person never
			return "", errors.New("probability is zero: nothing would happen")
		}
	}
	return p.words(unit), nil
}

func (p ConnParams) words(unit string) string {
	all, some := "every "+unit, unit+"s"
	switch start := max(p.From-1, 0); {
	case p.First > 0 && start > 0:
		some = fmt.Sprintf("%ss number %d to %d", unit, start+1, start+p.First)
		all = some
	case p.First == 1:
		some, all = "the first "+unit, "the first "+unit
	case p.First > 0:
		some = fmt.Sprintf("the first %d %ss", p.First, unit)
		all = some
	case p.Every > 1:
		some = fmt.Sprintf("%ss number %d, %d, ...", unit, start+p.Every, start+2*p.Every)
		all = some
	case start > 0:
		some = fmt.Sprintf("%ss from number %d on", unit, start+1)
		all = some
	}
	if p.Probability != nil {
		return p.Probability.String() + " of " + some
	}
	return all
}
