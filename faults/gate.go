package faults

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// AfterParams say when a fault wakes up.
type AfterParams struct {
	After *TriggerParams `yaml:"after" doc:"Sleeps until this has been seen on another edge."`
}

// GateParams say when a fault acts, and how much in all.
type GateParams struct {
	AfterParams `yaml:",inline"`
	Ramp        Duration `yaml:"ramp" doc:"Grows from nothing to full over this time: a delay or a rate in size, everything else in the share that is hit."`
	Cap         int      `yaml:"cap" spec:"min=0" doc:"At most so many connections or requests are hit; then the fault stands and does nothing more."`
}

// TriggerParams are an event on an edge, seen by its proxy. All that is given must hold.
type TriggerParams struct {
	Edge   string `yaml:"edge" spec:"required" doc:"Where to look, such as orders -> payments; that of a service with replicas means all its links."`
	Method string `yaml:"method" doc:"Only this method, such as POST."`
	Path   string `yaml:"path" doc:"Only paths like this: * is one segment, a trailing /** any rest."`
	Status string `yaml:"status" doc:"Only this status, such as 503, or 5xx for all of them; of gRPC calls, such as UNAVAILABLE."`
	Error  string `yaml:"error" spec:"enum=refused|reset|timeout|caller-left|upstream-closed" doc:"Only what failed like this."`
	Count  int    `yaml:"count" spec:"default=1,min=1" doc:"How many such events it takes."`
}

var statusPattern = regexp.MustCompile(`^[1-5]([0-9][0-9]|xx)$`)

func (p AfterParams) narrow(s *Stage) (string, error) {
	if p.After == nil {
		return "", nil
	}
	t, err := p.After.trigger()
	if err != nil {
		return "", fmt.Errorf("after: %w", err)
	}
	s.After = &t
	return ", after " + p.After.words(), nil
}

func (p GateParams) narrow(s *Stage) (string, error) {
	words, err := p.AfterParams.narrow(s)
	if err != nil {
		return "", err
	}
	if p.Ramp > 0 {
		words += ", growing over " + p.Ramp.String()
	}
	if p.Cap > 0 {
		words += fmt.Sprintf(", at most %d", p.Cap)
	}
	s.Ramp, s.Cap = time.Duration(p.Ramp), uint64(p.Cap)
	return words, nil
}

func (p TriggerParams) trigger() (Trigger, error) {
	caller, callee, ok := strings.Cut(p.Edge, "->")
	caller, callee = strings.TrimSpace(caller), strings.TrimSpace(callee)
	switch {
	case !ok || caller == "" || callee == "":
		return Trigger{}, fmt.Errorf("edge %q: write it as orders -> payments", p.Edge)
	case p.Status != "" && !statusPattern.MatchString(p.Status) && !slices.Contains(grpcCodes, p.Status):
		return Trigger{}, fmt.Errorf("status %q: write 503, 5xx or UNAVAILABLE", p.Status)
	case p.Status != "" && p.Error != "":
		return Trigger{}, errors.New("status and error exclude each other")
	}
	if err := checkCall(p.Method, p.Path); err != nil {
		return Trigger{}, err
	}
	return Trigger{
		Edge: caller + " -> " + callee, Method: p.Method, Path: p.Path,
		Status: p.Status, Error: p.Error, Count: uint64(p.Count),
	}, nil
}

func (p TriggerParams) words() string {
	what := slices.DeleteFunc([]string{p.Method, p.Path, p.Status, p.Error}, func(s string) bool { return s == "" })
	if len(what) == 0 {
		what = []string{"an exchange"}
	}
	words := strings.Join(what, " ") + " at " + p.Edge
	if p.Count > 1 {
		words = fmt.Sprintf("%d times %s", p.Count, words)
	}
	return words
}

// Watches lists the edges whose events the fault waits for.
func (f stageFault) Watches() []string {
	if f.stage.After == nil {
		return nil
	}
	return []string{f.stage.After.Edge}
}
