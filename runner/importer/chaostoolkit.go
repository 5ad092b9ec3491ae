// Package importer turns experiments of other tools into scenarios, and says what
// it could not carry over.
package importer

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"squall/scenarios/spec"
)

// Options say what an experiment leaves open.
type Options struct {
	Name   string // of the scenario
	System *spec.System
	// Paths relative to the scenario.
	SystemFile, Script, Schema string
	SLO                        string            // for the steady state; the system's first if empty
	Edges                      map[string]string // proxy of the experiment -> edge of the system
}

// Result is a scenario and what was lost on the way.
type Result struct {
	Scenario []byte
	Lost     []string
}

// experiment is what is read of a Chaos Toolkit experiment (JSON or YAML).
type experiment struct {
	Title         string         `yaml:"title"`
	Description   string         `yaml:"description"`
	Tags          []string       `yaml:"tags"`
	Configuration map[string]any `yaml:"configuration"`
	Secrets       map[string]any `yaml:"secrets"`
	Controls      []any          `yaml:"controls"`
	Hypothesis    struct {
		Title  string     `yaml:"title"`
		Probes []activity `yaml:"probes"`
	} `yaml:"steady-state-hypothesis"`
	Method    []activity `yaml:"method"`
	Rollbacks []activity `yaml:"rollbacks"`
}

type activity struct {
	Type       string   `yaml:"type"`
	Name       string   `yaml:"name"`
	Tolerance  any      `yaml:"tolerance"`
	Background bool     `yaml:"background"`
	Provider   provider `yaml:"provider"`
	Pauses     struct {
		Before float64 `yaml:"before"`
		After  float64 `yaml:"after"`
	} `yaml:"pauses"`
}

type provider struct {
	Type      string `yaml:"type"`
	Module    string `yaml:"module"`
	Func      string `yaml:"func"`
	Path      string `yaml:"path"`
	URL       string `yaml:"url"`
	Method    string `yaml:"method"`
	Arguments any    `yaml:"arguments"` // a mapping, or of a process also text or a list
}

// ChaosToolkit reads an experiment.
func ChaosToolkit(src []byte, o Options) (Result, error) {
	if len(src) > 1<<20 {
		return Result{}, errors.New("the experiment is larger than 1 MiB")
	}
	var e experiment
	if err := yaml.Unmarshal(src, &e); err != nil {
		return Result{}, fmt.Errorf("not an experiment: %w", err)
	}
	if len(e.Method) == 0 {
		return Result{}, errors.New("not an experiment of the Chaos Toolkit: it has no method")
	}
	c := &conversion{o: o, config: e.Configuration, arrival: "20/s", ids: map[string]bool{}}
	for _, p := range e.Hypothesis.Probes {
		c.probe(p, &c.steady, "baseline")
		c.probe(p, &c.expect, "recovery") // the hypothesis must hold again afterwards
	}
	for _, a := range e.Method {
		c.at += seconds(a.Pauses.Before)
		c.activity(a)
		c.at += seconds(a.Pauses.After)
	}
	for _, r := range e.Rollbacks {
		c.lost("rollback %q: squall derives its own, and undoes every fault", r.Name)
	}
	if len(e.Secrets) > 0 {
		c.lost("secrets: give them to squall by its environment")
	}
	if len(e.Controls) > 0 {
		c.lost("controls: there is nothing like them")
	}
	return Result{Scenario: c.text(e), Lost: c.missing}, nil
}

// conversion is an experiment on its way.
type conversion struct {
	o       Options
	config  map[string]any
	at      time.Duration // where in the fault phase the method has come to
	arrival string
	script  string
	faults  []fault
	steps   []line
	steady  []line
	expect  []line
	missing []string
	ids     map[string]bool
}

type fault struct {
	line  line
	proxy string // and the toxic on it, for its removal
	toxic string
	at    time.Duration
	until time.Duration // 0: to the end
}

// line is an entry of a list, in the order of its keys.
type line []pair

type pair struct {
	key   string
	value any
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (c *conversion) lost(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(c.missing, text) {
		c.missing = append(c.missing, text)
	}
}

// id makes a name of an activity's, unique in the scenario.
func (c *conversion) id(name string) string {
	id := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name)), "-")
	for strings.Contains(id, "--") {
		id = strings.ReplaceAll(id, "--", "-")
	}
	if id = strings.Trim(id[:min(len(id), 40)], "-"); id == "" {
		id = "activity"
	}
	unique := id
	for n := 2; c.ids[unique]; n++ {
		unique = id + "-" + strconv.Itoa(n)
	}
	c.ids[unique] = true
	return unique
}

// fill replaces ${name} by the configuration's value, or its default.
func (c *conversion) fill(text string) string {
	for key, v := range c.config {
		if m, is := v.(map[string]any); is {
			v = m["default"]
		}
		if s, is := scalar(v); is {
			text = strings.ReplaceAll(text, "${"+key+"}", s)
		}
	}
	return text
}

func scalar(v any) (string, bool) {
	switch v.(type) {
	case string, int, int64, uint64, float64, bool:
		return fmt.Sprint(v), true
	}
	return "", false
}

// arg is an argument of a provider, as text.
func (c *conversion) arg(p provider, key string) string {
	m, _ := p.Arguments.(map[string]any)
	s, _ := scalar(m[key])
	return c.fill(s)
}

func (c *conversion) activity(a activity) {
	p := a.Provider
	p.Path, p.URL = c.fill(p.Path), c.fill(p.URL)
	a.Provider = p
	switch {
	case a.Type == "probe":
		c.probe(a, &c.expect, "fault")
	case strings.HasPrefix(p.Module, "chaostoxi."):
		c.toxiproxy(a)
	case strings.HasPrefix(p.Module, "chaosk6"):
		c.k6(a)
	case p.Type == "http":
		c.request(a)
	case p.Type == "process":
		c.process(a)
	default:
		c.lost("action %q: squall has nothing for %s", a.Name, strings.Trim(p.Module+"."+p.Func, "."))
	}
}

// request is an HTTP request as a step.
func (c *conversion) request(a activity) {
	act, why := c.httpAct(a.Provider)
	if why != "" {
		c.lost("action %q: %s", a.Name, why)
		return
	}
	c.steps = append(c.steps, c.stepOf(a.Name, "http", act))
}

func (c *conversion) stepOf(name, kind string, act line) line {
	l := line{{"id", c.id(name)}}
	if c.at > 0 {
		l = append(l, pair{"at", c.at.String()})
	}
	return append(l, pair{kind, act})
}

// httpAct finds the service that a URL names, by its host.
func (c *conversion) httpAct(p provider) (line, string) {
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Sprintf("%q is no address", p.URL)
	}
	var act line
	if len(c.o.System.Instances(u.Hostname())) > 0 {
		act = append(act, pair{"service", u.Hostname()})
	} else {
		entry := c.entry()
		if entry == "" {
			return nil, fmt.Sprintf("%s is no service of the system", u.Hostname())
		}
		c.lost("%s is no service of the system: it is asked through %s", u.Host, entry)
		act = append(act, pair{"edge", entry})
	}
	if p.Method != "" && p.Method != "GET" {
		act = append(act, pair{"method", strings.ToUpper(p.Method)})
	}
	return append(act, pair{"path", max(u.RequestURI(), "/")}), ""
}

// entry is the first http edge of the client.
func (c *conversion) entry() string {
	for _, e := range c.o.System.Spec.Edges {
		if e.Caller == spec.Client && e.Protocol == "http" {
			return c.o.System.EdgeOf(e.Name())
		}
	}
	return ""
}

// words are program and arguments of a process.
func (c *conversion) words(p provider) []string {
	words := strings.Fields(p.Path)
	switch args := p.Arguments.(type) {
	case string:
		words = append(words, strings.Fields(c.fill(args))...)
	case []any:
		for _, a := range args {
			s, _ := scalar(a)
			words = append(words, c.fill(s))
		}
	case map[string]any:
		keys := make([]string, 0, len(args))
		for k := range args {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			words = append(words, k, c.arg(p, k))
		}
	}
	return words
}

// process is a program: one that ends or freezes a service is a fault, a load
// generator is the load, and any other is a step.
func (c *conversion) process(a activity) {
	words := c.words(a.Provider)
	if len(words) == 0 {
		c.lost("action %q: it names no program", a.Name)
		return
	}
	kind, params := signal(words)
	for _, w := range words[1:] {
		if kind != "" && len(c.o.System.Instances(w)) > 0 {
			l := line{{"id", c.id(a.Name)}, {"kind", kind}, {"on", w}}
			if params != nil {
				l = append(l, pair{"params", params})
			}
			c.faults = append(c.faults, fault{line: l, at: c.at})
			return
		}
	}
	switch path.Base(words[0]) {
	case "k6":
		c.script = last(words)
		c.lost("load %q: its script must count operations (k6/x/squall) and read SQUALL_ARRIVAL; its virtual users became an arrival rate of %s", a.Name, c.arrival)
		return
	case "vegeta", "hey", "wrk", "wrk2", "ab", "locust", "gatling", "siege":
		c.lost("load %q: %s is replaced by the k6 script, at %s", a.Name, path.Base(words[0]), c.arrival)
		return
	}
	c.steps = append(c.steps, c.stepOf(a.Name, "command", line{{"run", words}}))
}

// signal is the fault that a command line stands for.
func signal(words []string) (kind string, params line) {
	text := " " + strings.Join(words, " ") + " "
	has := func(any ...string) bool {
		return slices.ContainsFunc(any, func(s string) bool { return strings.Contains(text, s) })
	}
	switch name := path.Base(words[0]); {
	case (name == "docker" || name == "podman") && has(" restart "), name == "systemctl" && has(" restart "):
		return "proc-restart", line{{"signal", "TERM"}}
	case has(" pause "), has(" -STOP ", " -SIGSTOP ", " -19 "):
		return "proc-pause", nil
	case has(" -9 ", " -KILL ", " -SIGKILL "), (name == "docker" || name == "podman") && has(" kill "):
		return "proc-kill", nil
	case name == "kill", name == "pkill", name == "killall", has(" stop "):
		return "proc-term", nil
	}
	return "", nil
}

func last(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// k6 is a load: the script is kept, virtual users are not.
func (c *conversion) k6(a activity) {
	if script := c.arg(a.Provider, "scriptPath"); script != "" {
		c.script = script
		c.lost("load %q: its script must count operations (k6/x/squall) and read SQUALL_ARRIVAL; its virtual users became an arrival rate of %s", a.Name, c.arrival)
		return
	}
	c.lost("load %q: %s is replaced by the k6 script, at %s", a.Name, a.Provider.Func, c.arrival)
}

// probe is a question with an answer that is wanted.
func (c *conversion) probe(a activity, to *[]line, during string) {
	p := a.Provider
	p.Path, p.URL = c.fill(p.Path), c.fill(p.URL)
	var kind string
	var params line
	switch p.Type {
	case "http":
		act, why := c.httpAct(p)
		if why != "" {
			c.lost("probe %q: %s", a.Name, why)
			return
		}
		kind, params = "http", act
		if status, is := scalar(a.Tolerance); is && len(status) == 3 {
			params = append(params, pair{"status", status})
		} else if a.Tolerance != nil {
			c.lost("probe %q: of its tolerance, only that the answer is 2xx", a.Name)
		}
	case "process":
		kind, params = "command", line{{"run", c.words(p)}}
		if s, is := scalar(a.Tolerance); a.Tolerance != nil && (!is || s != "0") {
			c.lost("probe %q: of its tolerance, only that the program ends with 0", a.Name)
		}
	default:
		c.lost("probe %q: squall has nothing for %s", a.Name, strings.Trim(p.Module+"."+p.Func, "."))
		return
	}
	*to = append(*to, line{{"id", c.id(a.Name)}, {kind, params}, {"during", during}})
}
