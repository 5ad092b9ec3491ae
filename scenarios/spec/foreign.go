package spec

import (
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Targets that a system file can have.
const (
	TargetProcess    = "process"
	TargetCompose    = "compose"
	TargetContainers = "containers"
	TargetRemote     = "remote"
)

// Compose names a compose project.
type Compose struct {
	Files    []string          `yaml:"files" spec:"required,min=1,pattern=text" doc:"Compose files, relative to this file; later ones override earlier ones."`
	Profiles []string          `yaml:"profiles" spec:"pattern=text" doc:"Profiles that are on."`
	Env      map[string]string `yaml:"env" spec:"pattern=env" doc:"Variables that the files interpolate."`
}

// Watchdog is a squall watchdog that runs already.
type Watchdog struct {
	URL      string `yaml:"url" spec:"required,pattern=^https?://" doc:"Where it listens: https://host:port, or http://host:port."`
	TokenEnv string `yaml:"tokenEnv" spec:"required,pattern=env" doc:"Variable of squall's own environment that has its token."`
}

// Through is a proxy that an edge runs through already, on a server that
// others may use as well. Exactly one of Toxiproxy and Squall is given.
type Through struct {
	Toxiproxy string `yaml:"toxiproxy" spec:"pattern=^https?://" doc:"API of a stock Toxiproxy server."`
	Squall    string `yaml:"squall" spec:"pattern=^https?://" doc:"API of a squall proxy."`
	TokenEnv  string `yaml:"tokenEnv" spec:"pattern=env" doc:"Variable of squall's own environment that has the squall proxy's token."`
	Proxy     string `yaml:"proxy" spec:"required,pattern=text" doc:"Name of the proxy on that server; it must be there."`
}

// Hooks are commands for a service that squall cannot signal itself. Each has
// its undo; state shows whether it worked.
type Hooks struct {
	State   []string `yaml:"state" spec:"required,min=1" doc:"Prints running, stopped or dead, and after running what tells this start from the next, such as a PID or start time."`
	Kill    *Hook    `yaml:"kill" doc:"Ends it at once, and starts it again: what proc-kill, proc-term and proc-restart need."`
	Pause   *Hook    `yaml:"pause" doc:"Has it stand still, and go on: what proc-pause needs."`
	Timeout Duration `yaml:"timeout" spec:"default=10s,min=100ms" doc:"Longest time of a command; then it is killed, and has failed."`
	Env     []string `yaml:"env" spec:"pattern=env" doc:"Variables of squall's own environment that the commands see, beside PATH and HOME."`
}

// Hook is a command and what undoes it; both must be harmless when run again.
type Hook struct {
	Do   []string `yaml:"do" spec:"required,min=1" doc:"Program and arguments."`
	Undo []string `yaml:"undo" spec:"required,min=1" doc:"Program and arguments that undo it."`
}

// External reports whether squall is only told where the service is.
func (s Service) External() bool { return len(s.Command) == 0 }

// Started reports whether squall starts the system itself.
func (s *System) Started() bool {
	return s.Spec.Target == TargetProcess || s.Spec.Target == TargetCompose
}

// complete draws what follows from what is written: who says where a port is
// has named it, and an edge that squall puts no proxy on has none.
func (s *System) complete() {
	for i, e := range s.Spec.Edges {
		s.Spec.Edges[i].Direct = !s.Started() && e.Through == nil
	}
	for name, svc := range s.Spec.Services {
		for _, port := range slices.Sorted(maps.Keys(svc.At)) {
			if !slices.Contains(svc.Ports, port) {
				svc.Ports = append(svc.Ports, port)
			}
		}
		s.Spec.Services[name] = svc
	}
}

// placed checks that a service says what its target needs of it, and nothing
// that its target would not heed.
func (v *validator) placed(name string, svc Service, s *System, at func(...string) Pos) {
	target := s.Spec.Target
	if !slices.Contains([]string{TargetProcess, TargetCompose, TargetContainers, TargetRemote}, target) {
		return // decoding has told
	}
	refuse := func(given bool, field, why string) {
		if given {
			v.fail(at(field), "service %s: %s %s", name, field, why)
		}
	}
	started := len(svc.Command) > 0
	refuse(started && target != TargetProcess, "command", "is for target process; this one is "+target)
	refuse(started && len(svc.At) > 0, "at", "is of services that squall does not start: it picks the ports of those with a command")
	refuse(len(svc.Secrets) > 0 && !started && target != TargetCompose, "secrets", "are of services that squall starts")
	refuse(svc.Hooks != nil && target != TargetRemote, "hooks", "are for target remote")
	refuse(svc.Container != "" && target != TargetCompose && target != TargetContainers, "container", "is for targets compose and containers")
	refuse(svc.Replicas > 0 && !started && target != TargetCompose, "replicas", "are of services that squall starts: give each of the others an entry")
	refuse(svc.Replicas > 0 && svc.Container != "", "container", "does not go with replicas: the services of the compose file have the names of the instances")
	if target == TargetProcess && !started && len(svc.At) == 0 {
		v.fail(at(), "service %s: needs a command, or at where it is started by somebody else", name)
	}
	for _, port := range svc.Ports {
		if !started && len(svc.At) > 0 && svc.At[port] == "" {
			v.fail(at("ports"), "service %s: at says nothing of port %s", name, quote(port))
		}
	}
	for _, port := range slices.Sorted(maps.Keys(svc.At)) {
		v.address(name, svc.At[port], target, at("at", port))
	}
	if svc.Ready.TCP != "" && !slices.Contains(svc.Ports, svc.Ready.TCP) {
		v.suggest(at("ready", "tcp"), Suggest(svc.Ready.TCP, svc.Ports), "service %s has no port %s", name, quote(svc.Ready.TCP))
	}
	if _, err := regexp.Compile(svc.Ready.Log); err != nil {
		v.fail(at("ready", "log"), "ready: log: %v", err)
	}
	refuse(svc.Ready.Log != "" && !started, "ready", "can only look at the log of a service that squall starts")
}

func (v *validator) address(name, address, target string, pos Pos) {
	inside := target == TargetCompose || target == TargetContainers
	port := address
	if !inside {
		host, p, err := net.SplitHostPort(address)
		if err != nil || host == "" {
			v.fail(pos, "service %s: want host:port, found %s", name, quote(address))
			return
		}
		port = p
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		v.fail(pos, "service %s: want a port from 1 to 65535, found %s", name, quote(port))
	}
}

// route checks that there is a way to put a proxy on an edge.
func (v *validator) route(e Edge, s *System) {
	target := s.Spec.Target
	switch {
	case !slices.Contains([]string{TargetProcess, TargetCompose, TargetContainers, TargetRemote}, target):
	case target == TargetRemote || target == TargetContainers:
		v.through(e)
	case e.Through != nil:
		v.fail(e.Src.At("through"), "edge %s: through is for targets remote and containers", e.Name())
	case e.Host != "" && target != TargetCompose:
		v.fail(e.Src.At("host"), "edge %s: host is for target compose", e.Name())
	case e.Host != "" && e.Env != "":
		v.fail(e.Src.At("host"), "edge %s: give env or host, one of them", e.Name())
	case e.Env == "" && (target != TargetCompose || e.Caller == Client):
		v.fail(e.Src.at, "missing required field %q in %s", "env", e.Name())
	}
}

func (v *validator) through(e Edge) {
	t := e.Through
	switch {
	case t == nil && e.Caller != Client:
		v.fail(e.Pos, "edge %s: through says which proxy it runs through", e.Name())
	case t == nil && e.Env == "":
		v.fail(e.Src.at, "missing required field %q in %s", "env", e.Name())
	case t == nil:
	case (t.Toxiproxy == "") == (t.Squall == ""):
		v.fail(e.Src.At("through"), "edge %s: through wants toxiproxy or squall, one of them", e.Name())
	case t.Toxiproxy != "" && t.TokenEnv != "":
		v.fail(e.Src.At("through", "tokenEnv"), "edge %s: a Toxiproxy server takes no token", e.Name())
	default:
		if u, err := url.Parse(t.Toxiproxy + t.Squall); err == nil && u.User != nil {
			v.fail(e.Src.At("through"), "edge %s: a password does not belong in a file: use tokenEnv", e.Name())
		}
	}
}

// ContainerOf is the name that the service of an instance has in its compose
// file, or its container.
func (s *System) ContainerOf(instance string) string {
	if c := s.Spec.Services[instance].Container; c != "" {
		return c
	}
	return strings.TrimSpace(instance)
}
