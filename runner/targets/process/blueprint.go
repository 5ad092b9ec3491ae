package process

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"squall/runner/targets"
	"squall/scenarios/spec"
)

// blueprint is a system with all choices made: addresses, commands and
// variables. It is all that the supervisor and other processes know of it.
type blueprint struct {
	ID        string            `json:"id"`
	System    string            `json:"system"`
	Owner     string            `json:"owner"`
	Proxy     launch            `json:"proxy"`
	ProxyURL  string            `json:"proxy_url"`
	Services  []launch          `json:"services"` // sorted by name
	Links     []link            `json:"links"`    // in the order of the file
	ClientEnv map[string]string `json:"client_env"`
}

// launch says how one process is started and when it is ready.
type launch struct {
	Name      string        `json:"name"`
	Of        string        `json:"of,omitempty"` // the service that it is an instance of
	Command   []string      `json:"command"`
	Env       []string      `json:"env"`
	Dir       string        `json:"dir"` // working folder, created before the first start
	ReadyHTTP string        `json:"ready_http,omitempty"`
	ReadyTCP  string        `json:"ready_tcp,omitempty"`
	Within    time.Duration `json:"within"` // longest wait for readiness
	Stop      time.Duration `json:"stop"`   // between SIGTERM and SIGKILL
	URL       string        `json:"url,omitempty"`
	Metrics   string        `json:"metrics,omitempty"`
}

// link is one edge and its proxy.
type link struct {
	Proxy    string `json:"proxy"` // "orders.payments"
	Edge     string `json:"edge"`  // "orders -> payments"
	Protocol string `json:"protocol"`
	Listen   string `json:"listen"`   // host:port of the proxy
	Upstream string `json:"upstream"` // host:port of the callee
}

// site is where an environment is: everything that chance or the machine decides.
type site struct {
	id       string
	owner    string
	folder   string            // of the environment, absolute
	self     []string          // argv prefix of squall
	inherit  []string          // KEY=value for every process
	api      string            // host:port of the proxy's API
	services map[string]string // "orders.http" -> host:port
	links    map[string]string // "orders -> payments" -> host:port
}

// draw makes the blueprint of a system on a site.
func draw(sys *spec.System, defects []string, at site) (*blueprint, error) {
	if err := checkDefects(sys, defects); err != nil {
		return nil, err
	}
	bp := &blueprint{
		ID: at.id, System: sys.Metadata.Name, Owner: at.owner,
		Proxy: proxyLaunch(at), ProxyURL: "http://" + at.api,
	}
	vars, err := drawLinks(bp, sys, at)
	if err != nil {
		return nil, err
	}
	bp.ClientEnv = vars["client"]
	dir, err := filepath.Abs(filepath.Dir(sys.File))
	if err != nil {
		return nil, fmt.Errorf("folder of the system file: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(sys.Spec.Services)) {
		d := drawing{sys: sys, at: at, name: name, service: sys.Spec.Services[name], dir: dir}
		l, err := d.launch(vars[name], defects)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", name, err)
		}
		bp.Services = append(bp.Services, l)
	}
	return bp, nil
}

func proxyLaunch(at site) launch {
	return launch{
		Name:    proxyName,
		Command: append(slices.Clone(at.self), "proxy", "--listen", at.api),
		Env:     processEnv(at, nil), Dir: filepath.Join(at.folder, "data", proxyName),
		ReadyHTTP: "http://" + at.api + "/version",
		Within:    defaultWithin, Stop: defaultStop,
	}
}

// drawLinks adds one proxy per edge and returns each caller's edge variables.
func drawLinks(bp *blueprint, sys *spec.System, at site) (map[string]map[string]string, error) {
	vars := map[string]map[string]string{"client": {}}
	for _, e := range sys.Spec.Edges {
		upstream, ok := at.services[e.Callee+"."+e.Port]
		if !ok {
			return nil, fmt.Errorf("edge %s: %s has no port %q, known: %s", e.Name(), e.Callee, e.Port, known(at.services))
		}
		l := link{
			Proxy: e.Caller + "." + e.Callee, Edge: e.Name(), Protocol: e.Protocol,
			Listen: at.links[e.Name()], Upstream: upstream,
		}
		bp.Links = append(bp.Links, l)
		of := vars[e.Caller]
		if of == nil {
			of = map[string]string{}
			vars[e.Caller] = of
		}
		address := addressFor(cmp.Or(e.Scheme, e.Protocol), l.Listen)
		if before, several := of[e.Env]; several {
			address = before + "," + address
		}
		of[e.Env] = address
	}
	return vars, nil
}

// addressFor writes host:port the way clients of a protocol expect it.
func addressFor(protocol, hostPort string) string {
	if protocol == "tcp" {
		return hostPort
	}
	return protocol + "://" + hostPort
}

// checkDefects refuses defects that would silently do nothing.
func checkDefects(sys *spec.System, defects []string) error {
	knownBy := map[string]string{}
	for name, svc := range sys.Spec.Services {
		for _, d := range svc.Defects {
			knownBy[d] = name
		}
	}
	for _, d := range defects {
		if sys.Spec.Defects == nil {
			return fmt.Errorf("defect %s: system %s has no defects", d, sys.Metadata.Name)
		}
		if knownBy[d] == "" {
			return fmt.Errorf("defect %s: no service knows it, known: %s", d, known(knownBy))
		}
	}
	return nil
}

// drawing is one service being drawn.
type drawing struct {
	sys     *spec.System
	at      site
	name    string
	service spec.Service
	dir     string // of the system file
}

func (d drawing) launch(edgeVars map[string]string, defects []string) (launch, error) {
	if d.name == proxyName || d.name == supervisorName || len(d.service.Command) == 0 {
		return launch{}, fmt.Errorf("needs a command and a name other than %s and %s", proxyName, supervisorName)
	}
	l := launch{
		Name: d.name, Of: d.sys.ServiceOf(d.name), Dir: d.data(), Metrics: d.service.Metrics,
		Within: orDefault(d.service.Ready.Within, defaultWithin),
		Stop:   orDefault(d.service.Stop, defaultStop),
	}
	for _, arg := range d.service.Command {
		text, err := d.expand(arg)
		if err != nil {
			return launch{}, fmt.Errorf("command: %w", err)
		}
		l.Command = append(l.Command, text)
	}
	l.Command[0] = d.program(l.Command[0])
	env := map[string]string{}
	for key, value := range d.service.Env {
		text, err := d.expand(value)
		if err != nil {
			return launch{}, fmt.Errorf("env %s: %w", key, err)
		}
		env[key] = text
	}
	maps.Copy(env, edgeVars)
	if mine := intersect(defects, d.service.Defects); len(mine) > 0 {
		env[d.sys.Spec.Defects.Env] = strings.Join(mine, ",")
	}
	l.Env = processEnv(d.at, env)
	return l, d.readiness(&l)
}

// readiness fills in what shows that the service is ready, and its base URL.
func (d drawing) readiness(l *launch) error {
	main, ok := d.at.services[d.name+"."+d.service.Port]
	if ok {
		l.URL = "http://" + main
	}
	switch {
	case d.service.Ready.HTTP != "" && !ok:
		return fmt.Errorf("ready: no port %q to ask, ports: %s", d.service.Port, strings.Join(d.service.Ports, ", "))
	case d.service.Ready.HTTP != "":
		l.ReadyHTTP = l.URL + d.service.Ready.HTTP
	case ok:
		l.ReadyTCP = main
	case len(d.service.Ports) > 0:
		l.ReadyTCP = d.at.services[d.name+"."+d.service.Ports[0]]
	}
	return nil
}

// data is one folder for all instances of a service: they share a database.
func (d drawing) data() string { return filepath.Join(d.at.folder, "data", d.sys.ServiceOf(d.name)) }

// program finds a relative program beside the system file; a bare name that is
// not there is left to PATH.
func (d drawing) program(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	beside := filepath.Join(d.dir, name)
	if _, err := os.Stat(beside); err == nil || strings.ContainsRune(name, filepath.Separator) {
		return beside
	}
	return name
}

// expand replaces ${self.PORT}, ${SERVICE.PORT}, ${data}, ${shared} and ${dir};
// names and groups of instances are in the text already.
func (d drawing) expand(text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", fmt.Errorf("${%s is not closed by }", rest)
		}
		value, err := d.lookup(name)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = after
	}
}

func (d drawing) lookup(name string) (string, error) {
	switch name {
	case "data":
		return d.data(), nil
	case "shared":
		return sharedFolder(d.at.folder), nil
	case "dir":
		return d.dir, nil
	}
	key := name
	if port, self := strings.CutPrefix(name, "self."); self {
		key = d.name + "." + port
	}
	if value, ok := d.at.services[key]; ok {
		return value, nil
	}
	return "", fmt.Errorf("${%s} is unknown, known: data, shared, dir, %s", name, known(d.at.services))
}

// processEnv is the whole environment of a process, sorted.
func processEnv(at site, own map[string]string) []string {
	all := map[string]string{}
	for _, kv := range at.inherit {
		key, value, _ := strings.Cut(kv, "=")
		all[key] = value
	}
	maps.Copy(all, own)
	all[markVariable] = at.id
	env := make([]string, 0, len(all))
	for _, key := range slices.Sorted(maps.Keys(all)) {
		env = append(env, key+"="+all[key])
	}
	return env
}

// inherited picks what services get of the runner's environment.
func inherited(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return key != "PATH" && key != "HOME" && key != "TMPDIR"
	})
}

// public is what a run may scrape and ask.
func (bp *blueprint) public() []targets.Service {
	var out []targets.Service
	for _, l := range bp.Services {
		out = append(out, targets.Service{Name: l.Name, Of: l.Of, URL: l.URL, Metrics: l.Metrics})
	}
	return out
}

func (bp *blueprint) longestStop() time.Duration {
	longest := bp.Proxy.Stop
	for _, l := range bp.Services {
		longest = max(longest, l.Stop)
	}
	return longest
}

func orDefault(d spec.Duration, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return time.Duration(d)
}

func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

func known[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
