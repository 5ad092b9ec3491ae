package process

import (
	"cmp"
	"fmt"
	"maps"
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
	Secrets   []string          `json:"secrets,omitempty"`   // names of variables of Env that no log may have
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
	environ  []string // all of squall's own, which has the secrets
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

// secrets are variables of squall's own environment.
func (at site) secrets(names []string) (map[string]string, error) {
	found := map[string]string{}
	for _, kv := range at.environ {
		if key, value, _ := strings.Cut(kv, "="); slices.Contains(names, key) {
			found[key] = value
		}
	}
	for _, name := range names {
		if found[name] == "" {
			return nil, fmt.Errorf("secret %s is not set", name)
		}
	}
	return found, nil
}

// hidden are the values of the launch's secrets, each before what stands for it.
func (l launch) hidden() (pairs []string) {
	for _, kv := range l.Env {
		if key, value, _ := strings.Cut(kv, "="); value != "" && slices.Contains(l.Secrets, key) {
			pairs = append(pairs, value, "["+key+"]")
		}
	}
	return pairs
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

// callers are the services and instances that call others.
func (bp *blueprint) callers() map[string]bool {
	all := map[string]bool{}
	for _, l := range bp.Links {
		caller, _, _ := strings.Cut(l.Edge, " -> ")
		all[caller] = true
	}
	return all
}

func (bp *blueprint) longestStop() time.Duration {
	longest := bp.Proxy.Stop
	for _, l := range bp.Services {
		longest = max(longest, l.Stop)
	}
	return longest
}

func known[V any](m map[string]V) string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ")
}
