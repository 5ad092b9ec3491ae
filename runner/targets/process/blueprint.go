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

	"squall/faults"
	"squall/faults/disk"
	"squall/runner/targets"
	"squall/runner/targets/compose"
	"squall/scenarios/spec"
)

// blueprint is a system with all choices made: addresses, commands and
// variables. It is all that the supervisor and other processes know of it.
type blueprint struct {
	ID         string            `json:"id"`
	System     string            `json:"system"`
	Owner      string            `json:"owner"`
	Proxy      launch            `json:"proxy"`
	ProxyURL   string            `json:"proxy_url"`
	ProxyToken string            `json:"proxy_token,omitempty"` // of a proxy that others could reach as well
	Project    *compose.Project  `json:"project,omitempty"`     // nil: they are processes
	Disk       *launch           `json:"disk,omitempty"`        // nil when no data folder is served by us
	DiskURL    string            `json:"disk_url,omitempty"`
	Volumes    []disk.Volume     `json:"volumes,omitempty"`
	Cgroup     string            `json:"cgroup,omitempty"`   // above those of services
	Unified    bool              `json:"unified,omitempty"`  // it is of version 2
	Services   []launch          `json:"services"`           // sorted by name
	External   []targets.Service `json:"external,omitempty"` // started by somebody else, and left alone
	Links      []link            `json:"links"`              // in the order of the file
	ClientEnv  map[string]string `json:"client_env"`
}

// launch says how one process is started and when it is ready.
type launch struct {
	Name    string        `json:"name"`
	Of      string        `json:"of,omitempty"` // the service that it is an instance of
	Command []string      `json:"command"`
	Env     []string      `json:"env"`
	Dir     string        `json:"dir"` // working folder, created before the first start
	Ready   readySigns    `json:"ready,omitzero"`
	Within  time.Duration `json:"within"`            // longest wait for readiness
	Stop    time.Duration `json:"stop"`              // between the stop signal and SIGKILL
	Signal  string        `json:"signal,omitempty"`  // the stop signal; empty: TERM
	Restart string        `json:"restart,omitempty"` // never (also empty), on-failure, always
	URL     string        `json:"url,omitempty"`
	Metrics string        `json:"metrics,omitempty"`

	Ports     map[string]string `json:"ports,omitempty"`     // host:port of each
	Container string            `json:"container,omitempty"` // that the command is attached to
	After     []string          `json:"after,omitempty"`     // names of those that must be ready before
	Completes bool              `json:"completes,omitempty"` // its good end is as good as readiness
	Disk      bool              `json:"disk,omitempty"`      // its data folder is served by us
	Cgroup    string            `json:"cgroup,omitempty"`    // of its own, for faults on its memory
	Clock     string            `json:"clock,omitempty"`     // file with the offset of its clock
}

// link is one edge and its proxy.
type link struct {
	Proxy    string `json:"proxy"`   // "orders.payments"
	Edge     string `json:"edge"`    // "orders-1 -> payments-2"
	Service  string `json:"service"` // "orders -> payments", as the system file declares it
	Protocol string `json:"protocol"`
	Listen   string `json:"listen"`   // host:port of the proxy
	Upstream string `json:"upstream"` // host:port of the callee

	Tells  string `json:"tells,omitempty"`  // what callers are told, where that is not Listen
	Direct string `json:"direct,omitempty"` // the callee from here, where that is not Upstream

	Database *spec.Database `json:"database,omitempty"` // login to the callee, if it is one
}

// site is where an environment is: everything that chance or the machine decides.
type site struct {
	id       string
	owner    string
	folder   string   // of the environment, absolute
	self     []string // argv prefix of squall
	inherit  []string // KEY=value for every process
	api      string   // host:port of the proxy's API
	disk     string   // host:port of the disk's API; empty without one
	needs    map[string][]faults.Capability
	traces   string              // URL for the services' traces; empty: none are sent
	cgroup   faults.MemoryCgroup // to be made; no Dir: none is needed
	services map[string]string   // "orders.http" -> host:port
	links    map[string]string   // "orders -> payments" -> host:port
	composed *composed           // of target compose
}

func (at site) anyNeeds(c faults.Capability) bool {
	for name := range at.needs {
		if at.need(name, c) {
			return true
		}
	}
	return false
}

func (at site) need(instance string, c faults.Capability) bool {
	return slices.Contains(at.needs[instance], c)
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
	bp.Cgroup, bp.Unified = at.cgroup.Dir, at.cgroup.Unified
	drawDisk(bp, sys, at)
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
		d := drawing{bp: bp, sys: sys, at: at, name: name, service: sys.Spec.Services[name], dir: dir}
		if d.service.External() {
			bp.External = append(bp.External, d.external())
			continue
		}
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
		Env:     processEnv(at, nil), Dir: dataFolder(at.folder, proxyName),
		Ready:  readySigns{HTTP: "http://" + at.api + "/version"},
		Within: defaultWithin, Stop: defaultStop,
	}
}

// drawDisk has the data of services that disk faults are aimed at served by us.
func drawDisk(bp *blueprint, sys *spec.System, at site) {
	if at.disk == "" {
		return
	}
	served := map[string]bool{}
	for name := range sys.Spec.Services {
		if at.need(name, faults.NeedsData) {
			served[sys.ServiceOf(name)] = true
		}
	}
	command := append(slices.Clone(at.self), "disk", "--listen", at.disk)
	for _, service := range slices.Sorted(maps.Keys(served)) {
		v := disk.Volume{Name: service, Backing: filepath.Join(at.folder, "disks", service), Mount: dataFolder(at.folder, service)}
		bp.Volumes = append(bp.Volumes, v)
		command = append(command, v.Name, v.Backing, v.Mount)
	}
	bp.DiskURL = "http://" + at.disk
	bp.Disk = &launch{
		Name: diskName, Command: command, Env: processEnv(at, nil), Dir: dataFolder(at.folder, diskName),
		Ready: readySigns{HTTP: bp.DiskURL + "/version"}, Within: defaultWithin, Stop: defaultStop,
	}
}

// own are the launches of our own processes.
func (bp *blueprint) own() []launch {
	if bp.Disk == nil {
		return []launch{bp.Proxy}
	}
	return []launch{bp.Proxy, *bp.Disk}
}

func dataFolder(folder, service string) string { return filepath.Join(folder, "data", service) }

// drawLinks adds one proxy per edge and returns each caller's edge variables.
func drawLinks(bp *blueprint, sys *spec.System, at site) (map[string]map[string]string, error) {
	vars := map[string]map[string]string{"client": {}}
	for _, e := range sys.Spec.Edges {
		upstream, ok := at.services[e.Callee+"."+e.Port]
		if !ok {
			return nil, fmt.Errorf("edge %s: %s has no port %q, known: %s", e.Name(), e.Callee, e.Port, known(at.services))
		}
		l := link{
			Proxy: e.Caller + "." + e.Callee, Edge: e.Name(), Service: sys.EdgeOf(e.Name()), Protocol: e.Protocol,
			Listen: at.links[e.Name()], Upstream: upstream, Database: sys.Spec.Services[e.Callee].Database,
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
	if protocol == "tcp" || protocol == "grpc" { // whose clients take no scheme for an address
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
	bp      *blueprint
	sys     *spec.System
	at      site
	name    string
	service spec.Service
	dir     string // of the system file
}

func (d drawing) launch(edgeVars map[string]string, defects []string) (launch, error) {
	if d.name == proxyName || d.name == supervisorName || d.name == diskName {
		return launch{}, fmt.Errorf("needs a name other than %s, %s and %s", proxyName, supervisorName, diskName)
	}
	l := launch{
		Name: d.name, Of: d.sys.ServiceOf(d.name), Dir: d.workingFolder(), Metrics: d.service.Metrics, Ports: map[string]string{},
		Within: orDefault(d.service.Ready.Within, defaultWithin),
		Stop:   orDefault(d.service.Stop, defaultStop),
		Signal: d.service.StopSignal, Restart: d.service.Restart,
	}
	var err error
	if l.Command, err = d.command(d.service.Command); err != nil {
		return launch{}, fmt.Errorf("command: %w", err)
	}
	for _, port := range d.service.Ports {
		l.Ports[port] = d.at.services[d.name+"."+port]
	}
	env := map[string]string{}
	if d.at.traces != "" && d.sys.Spec.Traces != nil {
		env[d.sys.Spec.Traces.Env] = d.at.traces
	}
	for key, value := range d.service.Env {
		text, err := d.expand(value)
		if err != nil {
			return launch{}, fmt.Errorf("env %s: %w", key, err)
		}
		env[key] = text
	}
	maps.Copy(env, edgeVars)
	d.prepare(&l, env)
	if mine := intersect(defects, d.service.Defects); len(mine) > 0 {
		env[d.sys.Spec.Defects.Env] = strings.Join(mine, ",")
	}
	l.Env = processEnv(d.at, env)
	return l, d.readiness(&l)
}

// prepare is for what faults may do to the service.
func (d drawing) prepare(l *launch, env map[string]string) {
	l.Disk = slices.ContainsFunc(d.bp.Volumes, func(v disk.Volume) bool { return v.Name == l.Of })
	if l.Disk {
		env[disk.InstanceVariable] = d.name
	}
	if d.at.need(d.name, faults.NeedsMemory) {
		l.Cgroup = filepath.Join(d.bp.Cgroup, d.name)
	}
	if d.service.Clock != nil {
		l.Clock = filepath.Join(d.at.folder, "clock", d.name, clockFile)
		env[d.service.Clock.Env] = l.Clock
	}
}

// readiness fills in what shows that the service is ready, and its base URL.
func (d drawing) readiness(l *launch) error {
	main, ok := d.at.services[d.name+"."+d.service.Port]
	if ok {
		l.URL = "http://" + main
	}
	ready := d.service.Ready
	if ready.HTTP != "" && !ok {
		return fmt.Errorf("ready: no port %q to ask, ports: %s", d.service.Port, strings.Join(d.service.Ports, ", "))
	}
	if ready.HTTP != "" {
		l.Ready.HTTP = l.URL + ready.HTTP
	}
	if ready.TCP != "" {
		l.Ready.TCP = d.at.services[d.name+"."+ready.TCP]
	}
	l.Ready.Log = ready.Log
	var err error
	if l.Ready.Command, err = d.command(ready.Command); err != nil {
		return fmt.Errorf("ready: %w", err)
	}
	if !l.Ready.any() && ok {
		l.Ready.TCP = main
	} else if !l.Ready.any() && len(d.service.Ports) > 0 {
		l.Ready.TCP = d.at.services[d.name+"."+d.service.Ports[0]]
	}
	return nil
}

// command fills in a command line; nil for none.
func (d drawing) command(line []string) (out []string, err error) {
	for _, arg := range line {
		text, err := d.expand(arg)
		if err != nil {
			return nil, err
		}
		out = append(out, text)
	}
	if len(out) > 0 {
		out[0] = d.program(out[0])
	}
	return out, nil
}

// external is a service that somebody else has started.
func (d drawing) external() targets.Service {
	out := targets.Service{Name: d.name, Of: d.sys.ServiceOf(d.name), Metrics: d.service.Metrics, Ports: d.service.At}
	if main, ok := d.service.At[d.service.Port]; ok {
		out.URL = "http://" + main
	}
	return out
}

func (d drawing) workingFolder() string {
	switch {
	case d.service.Dir == "":
		return d.data()
	case filepath.IsAbs(d.service.Dir):
		return d.service.Dir
	}
	return filepath.Join(d.dir, d.service.Dir)
}

// data is one folder for all instances of a service: they share a database.
func (d drawing) data() string { return dataFolder(d.at.folder, d.sys.ServiceOf(d.name)) }

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
func inherited(environ []string, also ...string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		key, _, _ := strings.Cut(kv, "=")
		return key != "PATH" && key != "HOME" && key != "TMPDIR" && !slices.Contains(also, key)
	})
}

// dockerVariables say which Docker is meant, to its command and its library.
var dockerVariables = []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"}

// public is what a run may scrape and ask.
func (bp *blueprint) public() []targets.Service {
	var out []targets.Service
	for _, l := range bp.Services {
		out = append(out, targets.Service{Name: l.Name, Of: l.Of, URL: l.URL, Metrics: l.Metrics, Ports: l.Ports})
	}
	out = append(out, bp.External...)
	slices.SortFunc(out, func(a, b targets.Service) int { return strings.Compare(a.Name, b.Name) })
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
