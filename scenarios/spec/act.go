package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Step is something that the scenario does to the system beside its faults,
// such as a release or a replay: what an operator would do. It is not undone.
// Exactly one of its acts is given.
type Step struct {
	ID     string   `yaml:"id" spec:"required,pattern=name" doc:"Name of this step in the report."`
	During string   `yaml:"during" spec:"default=fault,enum=fault|recovery" doc:"Phase in which it is done."`
	At     Duration `yaml:"at" doc:"Delay after the phase's start. Steps and faults of a phase come one after the other: one that takes its time delays the next."`
	Act    `yaml:",inline"`

	Pos Pos  `yaml:"-"`
	Src Node `yaml:"-" json:"-"`
}

// Act is one thing done to the system, or asked of it, from outside the load.
type Act struct {
	HTTP    *HTTPAct    `yaml:"http" json:",omitempty" doc:"Sends a request."`
	Command *CommandAct `yaml:"command" json:",omitempty" doc:"Runs a program."`
	SQL     *SQLAct     `yaml:"sql" json:",omitempty" doc:"Runs a statement on a database."`
}

// HTTPAct is a request to every instance of a service, past its proxies, or
// through an edge of the client as customers come.
type HTTPAct struct {
	Service string            `yaml:"service" doc:"Service whose instances are asked, each one, or one instance."`
	Port    string            `yaml:"port" doc:"Port of the service, where it is not the one that its readiness is asked at."`
	Edge    string            `yaml:"edge" doc:"Instead of a service: an edge of the client, such as client -> gateway."`
	Method  string            `yaml:"method" spec:"default=GET,enum=GET|HEAD|POST|PUT|PATCH|DELETE" doc:"Method of the request."`
	Path    string            `yaml:"path" spec:"required,pattern=path" doc:"Path, with its query if it has one."`
	Header  map[string]string `yaml:"header" doc:"Headers of the request."`
	Body    string            `yaml:"body" doc:"Body of the request; JSON unless the headers say otherwise."`
	Timeout Duration          `yaml:"timeout" spec:"min=1ms,default=2s" doc:"Longest wait for the reply."`
}

// CommandAct is a program. In its arguments and variables, ${SERVICE.PORT}
// becomes host:port of the service, past its proxies; of one with replicas, all
// of them, joined by commas.
type CommandAct struct {
	Run     []string          `yaml:"run" spec:"required,min=1" doc:"Program and arguments. A relative program with a slash is looked up beside the scenario file."`
	Env     map[string]string `yaml:"env" spec:"pattern=env" doc:"Variables of the program, beside PATH and HOME."`
	Timeout Duration          `yaml:"timeout" spec:"min=1ms,default=10s" doc:"It is killed when it runs for longer."`
}

// SQLAct is a statement. The address of the database has a password in it more
// often than not, so it comes by the environment.
type SQLAct struct {
	Env     string   `yaml:"env" spec:"pattern=env" doc:"Variable of squall's own environment that has the address: postgres://..."`
	Service string   `yaml:"service" doc:"Instead of env: a service of the system whose database squall may log in to; of several instances, the first that answers."`
	Port    string   `yaml:"port" spec:"default=db" doc:"Port of the service that speaks PostgreSQL."`
	Query   string   `yaml:"query" spec:"required,pattern=text" doc:"Statement; of its rows, the first column of the first one counts."`
	Timeout Duration `yaml:"timeout" spec:"min=1ms,default=2s" doc:"Longest wait for the answer."`
}

// Describe says what is done, in a few words.
func (a Act) Describe() string {
	switch {
	case a.HTTP != nil:
		return fmt.Sprintf("%s %s of %s", a.HTTP.Method, a.HTTP.Path, cmp.Or(a.HTTP.Service, a.HTTP.Edge))
	case a.Command != nil:
		return strings.Join(a.Command.Run, " ")
	case a.SQL != nil:
		return fmt.Sprintf("%s on %s", a.SQL.Query, cmp.Or(a.SQL.Service, "$"+a.SQL.Env))
	}
	return "nothing"
}

// Where is the place of a field of the step's act.
func (s Step) Where(field string) Pos {
	kind := "http"
	switch {
	case s.Command != nil:
		kind = "command"
	case s.SQL != nil:
		kind = "sql"
	}
	return s.Src.At(kind, field)
}

// given counts the acts of which there must be one.
func (a Act) given() (n int) {
	for _, is := range []bool{a.HTTP != nil, a.Command != nil, a.SQL != nil} {
		if is {
			n++
		}
	}
	return n
}

// Mistakes are what is wrong with an act on a system, each with the field it is
// about.
func (a Act) Mistakes(s *System) (out []Mistake) {
	switch {
	case a.HTTP != nil:
		return a.HTTP.mistakes(s)
	case a.Command != nil:
		return a.Command.mistakes(s)
	case a.SQL != nil:
		return a.SQL.mistakes(s)
	}
	return nil
}

// Mistake is a problem whose place is the value of a field.
type Mistake struct{ Field, Msg, Suggest string }

func (h HTTPAct) mistakes(s *System) (out []Mistake) {
	if (h.Service == "") == (h.Edge == "") {
		out = append(out, Mistake{"", "http: wants a service or an edge of the client, one of them", ""})
	}
	if h.Service != "" {
		return append(out, servicePort(s, h.Service, h.Port)...)
	}
	if h.Port != "" {
		out = append(out, Mistake{"port", "port: an edge has one port", ""})
	}
	if h.Edge != "" {
		out = append(out, clientEdge(s, h.Edge)...)
	}
	return out
}

func clientEdge(s *System, name string) []Mistake {
	var known []string
	for _, e := range s.Spec.Edges {
		if e.Caller == Client && e.Protocol == "http" {
			known = append(known, s.EdgeOf(e.Name()))
		}
	}
	for _, e := range s.EdgesNamed(name) {
		if e.Caller == Client && e.Protocol == "http" {
			return nil
		}
	}
	return []Mistake{{"edge", fmt.Sprintf("edge: %s is no http edge of the client", quote(name)), Suggest(name, known)}}
}

// servicePort checks a service and one of its ports; "" is the port it is asked at.
func servicePort(s *System, service, port string) []Mistake {
	instances := s.Instances(service)
	if len(instances) == 0 {
		if why := s.Absent(service); why != "" {
			return []Mistake{{"service", fmt.Sprintf("service: %s is not part of the system: %s", quote(service), why), ""}}
		}
		known, _ := s.Declared()
		return []Mistake{{"service", fmt.Sprintf("service: unknown service %s", quote(service)), Suggest(service, known)}}
	}
	for _, name := range instances {
		svc := s.Spec.Services[name]
		if !slices.Contains(svc.Ports, cmp.Or(port, svc.Port)) {
			return []Mistake{{"port", fmt.Sprintf("port: %s has no port %s, ports: %s", name, quote(cmp.Or(port, svc.Port)), strings.Join(svc.Ports, ", ")), Suggest(port, svc.Ports)}}
		}
	}
	return nil
}

func (c CommandAct) mistakes(s *System) (out []Mistake) {
	check := func(field, text string) {
		for _, m := range placeholder.FindAllString(text, -1) {
			service, port, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(m, "${"), "}"), ".")
			for _, wrong := range servicePort(s, service, port) {
				out = append(out, Mistake{field, field + ": " + m + ": " + wrong.Msg, wrong.Suggest})
			}
		}
	}
	for _, arg := range c.Run {
		check("run", arg)
	}
	for _, key := range sorted(c.Env) {
		check("env", c.Env[key])
	}
	return out
}

func (q SQLAct) mistakes(s *System) []Mistake {
	if (q.Service == "") == (q.Env == "") {
		return []Mistake{{"", "sql: wants env or service, one of them", ""}}
	}
	if q.Service == "" {
		return nil
	}
	if wrong := servicePort(s, q.Service, q.Port); wrong != nil {
		return wrong
	}
	for _, name := range s.Instances(q.Service) {
		if s.Spec.Services[name].Database == nil {
			return []Mistake{{"service", fmt.Sprintf("service: %s has no database: in the system file, so squall may not log in to it", name), ""}}
		}
	}
	return nil
}

// Expand replaces ${SERVICE.PORT} by what lookup has for it.
func (c CommandAct) Expand(text string, lookup func(service, port string) string) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		service, port, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(found, "${"), "}"), ".")
		return lookup(service, port)
	})
}
