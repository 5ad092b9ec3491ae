package compose

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// Proposal is what a compose project lets one guess of a system file. A person
// is to look at it: what a service speaks is guessed by its image and port.
type Proposal struct {
	Services []ProposedService // sorted by name
	Edges    []ProposedEdge    // sorted by caller and callee
}

// ProposedService is a service with the ports that somebody publishes, exposes
// or calls: names and numbers inside the container.
type ProposedService struct {
	Name  string
	Ports map[string]string
}

// ProposedEdge is one caller and callee, and why they are taken for that.
type ProposedEdge struct {
	Caller, Callee string
	Protocol       string // http, tcp, nats or postgres
	Port           string // name of the callee's port
	Env            string // variable of the caller; empty: it has a fixed host name
	Why            string
}

// Propose reads compose files, later ones over earlier ones, and proposes
// services and edges: from addresses in variables, from depends_on where the
// callee has one port, and from published ports for the load.
func Propose(files ...string) (Proposal, error) {
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv, cli.WithDotEnv, cli.WithName("squall"), cli.WithWorkingDirectory(filepath.Dir(files[0])), cli.WithInterpolation(true))
	if err != nil {
		return Proposal{}, fmt.Errorf("compose files: %w", err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return Proposal{}, fmt.Errorf("compose files: %w", err)
	}
	g := guess{project: project, ports: map[string]map[string]bool{}, edges: map[string]ProposedEdge{}}
	for name, s := range project.Services {
		g.ports[name] = map[string]bool{}
		for _, p := range s.Ports {
			g.ports[name][strconv.Itoa(int(p.Target))] = true
		}
		for _, p := range s.Expose {
			g.ports[name][strings.TrimSuffix(p, "/tcp")] = true
		}
	}
	for _, name := range project.ServiceNames() {
		g.variables(name, project.Services[name])
	}
	for _, name := range project.ServiceNames() {
		g.rest(name, project.Services[name])
	}
	return g.proposal(), nil
}

type guess struct {
	project *types.Project
	ports   map[string]map[string]bool
	edges   map[string]ProposedEdge
}

// usual are ports that tell what is spoken, and what a variable without a port means.
var usual = map[string]string{"5432": "postgres", "6432": "postgres", "4222": "nats", "80": "http", "8080": "http", "3000": "http", "8000": "http", "8081": "http", "9090": "http"}

// variables finds the names of other services in a service's environment.
func (g *guess) variables(caller string, s types.ServiceConfig) {
	keys := s.Environment.Resolve(func(string) (string, bool) { return "", false })
	var names []string
	for key := range keys {
		names = append(names, key)
	}
	slices.Sort(names)
	for _, key := range names {
		if keys[key] == nil {
			continue
		}
		for _, callee := range g.project.ServiceNames() {
			found := regexp.MustCompile(`(?:^|[^A-Za-z0-9._-])` + regexp.QuoteMeta(callee) + `(?::([0-9]+))?(?:[^A-Za-z0-9._-]|$)`).FindStringSubmatch(*keys[key])
			if found == nil || callee == caller {
				continue
			}
			scheme, _, _ := strings.Cut(*keys[key], "://")
			port := found[1]
			env := key
			if port == "" {
				port = g.onlyPort(callee, scheme)
			}
			if *keys[key] == callee { // the port is said elsewhere
				env = ""
			}
			if port != "" {
				g.add(caller, callee, port, scheme, env, fmt.Sprintf("%s of %s names it", key, caller))
			}
		}
	}
}

// rest takes depends_on for a call, and a published port for a door of the load.
func (g *guess) rest(name string, s types.ServiceConfig) {
	for callee := range s.DependsOn {
		if port := g.onlyPort(callee, ""); port != "" {
			g.add(name, callee, port, "", "", name+" depends on it")
		}
	}
	for _, p := range s.Ports {
		port := strconv.Itoa(int(p.Target))
		if usual[port] == "http" {
			g.add("client", name, port, "http", envName(name)+"_URL", "it publishes port "+port)
		}
	}
}

// onlyPort is the one port of a service; by its scheme, where it has none.
func (g *guess) onlyPort(service, scheme string) string {
	if len(g.ports[service]) == 1 {
		for port := range g.ports[service] {
			return port
		}
	}
	return map[string]string{"http": "80", "postgres": "5432", "postgresql": "5432", "nats": "4222"}[scheme]
}

func (g *guess) add(caller, callee, port, scheme, env, why string) {
	key := caller + " -> " + callee
	if before, is := g.edges[key]; is && before.Env != "" {
		return
	}
	g.ports[callee][port] = true
	protocol := usual[port]
	switch {
	case strings.HasPrefix(scheme, "postgres"):
		protocol = "postgres"
	case scheme == "http" || scheme == "nats":
		protocol = scheme
	case protocol == "" || scheme == "https":
		protocol = "tcp"
	}
	g.edges[key] = ProposedEdge{Caller: caller, Callee: callee, Protocol: protocol, Port: portName(port), Env: env, Why: why}
}

func (g *guess) proposal() (p Proposal) {
	for _, name := range g.project.ServiceNames() {
		s := ProposedService{Name: name, Ports: map[string]string{}}
		for port := range g.ports[name] {
			s.Ports[portName(port)] = port
		}
		p.Services = append(p.Services, s)
	}
	for _, e := range g.edges {
		p.Edges = append(p.Edges, e)
	}
	slices.SortFunc(p.Edges, func(a, b ProposedEdge) int {
		return strings.Compare(a.Caller+" -> "+a.Callee, b.Caller+" -> "+b.Callee)
	})
	return p
}

func portName(port string) string { return "p" + port }

func envName(service string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(service))
}
