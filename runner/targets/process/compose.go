package process

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"squall/faults"
	"squall/runner/targets/compose"
	"squall/runner/targets/docker"
	"squall/scenarios/spec"
)

// A compose project has the same supervisor as local processes have: each
// container is a child that is attached to it (docker start -a), so that its
// output, its end and its restarts are seen as those of a process are. The
// supervisor removes the project when it ends, by whichever way.

// removeWithin bounds the removal of a project.
const removeWithin = 40 * time.Second

// composed is a compose project on its way up.
type composed struct {
	sys       *spec.System
	file      *compose.File
	project   compose.Project
	instances map[string]string // compose service -> name here
	wishes    map[string]*compose.Wish
	publish   map[string]string // of the proxy: port inside -> port here
	takeovers []compose.Takeover
	links     []int // of bp.Links that the takeovers are of
	token     string
	program   string // our own, which the proxy's image is made of
}

// notInProject are characters that no project name has.
var notInProject = regexp.MustCompile(`[^a-z0-9]+`)

func readProject(ctx context.Context, cfg Config, at site) (*composed, error) {
	at.inherit = inherited(cfg.Environ, dockerVariables...)
	env := processEnv(at, nil)
	tool, err := compose.FindTool(ctx, env)
	if err != nil {
		return nil, err
	}
	file, err := compose.Read(ctx, tool, cfg.Environ, cfg.System)
	if err != nil {
		return nil, err
	}
	id := notInProject.ReplaceAllString(strings.ToLower(at.id), "")
	c := &composed{
		sys: cfg.System, file: file, instances: map[string]string{}, wishes: map[string]*compose.Wish{}, publish: map[string]string{},
		project: compose.Project{Name: "squall-" + id[max(0, len(id)-12):], Tool: tool, Env: env, File: filepath.Join(at.folder, "compose.yml")},
		token:   rand.Text(), program: cfg.Self[0],
	}
	for _, name := range file.Names() {
		c.instances[name] = name
	}
	for name := range cfg.System.Spec.Services {
		inside := cfg.System.ContainerOf(name)
		if _, known := c.instances[inside]; !known {
			return nil, fmt.Errorf("service %s: the compose project has no service %s, it has %s", name, inside, strings.Join(file.Names(), ", "))
		}
		c.instances[inside] = name
	}
	return c, nil
}

func (c *composed) wish(service string) *compose.Wish {
	w := c.wishes[service]
	if w == nil {
		w = &compose.Wish{Service: service, Publish: map[string]string{}, Env: map[string]string{}, Hosts: map[string]string{}}
		c.wishes[service] = w
	}
	return w
}

// draw makes the blueprint, and what the project has to become for it.
func (c *composed) draw(defects []string, at site) (*blueprint, error) {
	if err := checkDefects(c.sys, defects); err != nil {
		return nil, err
	}
	bp := &blueprint{
		ID: at.id, System: c.sys.Metadata.Name, Owner: at.owner, Project: &c.project, ProxyURL: "http://" + at.api, ProxyToken: c.token,
		ClientEnv: map[string]string{},
	}
	bp.Proxy = c.launch(at, proxyName, compose.ProxyService)
	bp.Proxy.Ready = readySigns{HTTP: bp.ProxyURL + "/version"}
	_, port, _ := net.SplitHostPort(at.api)
	c.publish[compose.APIPort] = port
	for i, e := range c.sys.Spec.Edges {
		if err := c.drawLink(bp, at, i, e); err != nil {
			return nil, fmt.Errorf("edge %s: %w", e.Name(), err)
		}
	}
	for _, name := range c.file.Names() {
		l, err := c.drawService(at, name, defects)
		if err != nil {
			return nil, fmt.Errorf("service %s: %w", c.instances[name], err)
		}
		bp.Services = append(bp.Services, l)
	}
	slices.SortFunc(bp.Services, func(a, b launch) int { return strings.Compare(a.Name, b.Name) })
	return bp, c.file.Isolate(c.project)
}

// launch attaches to a container that is there already.
func (c *composed) launch(at site, name, service string) launch {
	container := c.project.Container(service)
	return launch{
		Name: name, Command: []string{"docker", "start", "--attach", container}, Container: container,
		Env: c.project.Env, Dir: dataFolder(at.folder, name), Within: defaultWithin, Stop: defaultStop,
	}
}

func (c *composed) drawService(at site, service string, defects []string) (launch, error) {
	name := c.instances[service]
	svc := c.sys.Spec.Services[name]
	l := c.launch(at, name, service)
	l.Of, l.Metrics, l.Ports = c.sys.ServiceOf(name), svc.Metrics, map[string]string{}
	l.Restart, l.Completes = c.file.Restart(service), c.file.Completes(service)
	l.Within, l.Stop, l.Signal = orDefault(svc.Ready.Within, 50*time.Second), orDefault(svc.Stop, defaultStop), svc.StopSignal
	for _, before := range c.file.After(service) {
		l.After = append(l.After, c.instances[before])
	}
	w := c.wish(service)
	for _, port := range svc.Ports {
		l.Ports[port] = at.services[name+"."+port]
		_, w.Publish[svc.At[port]], _ = net.SplitHostPort(l.Ports[port])
	}
	if main := l.Ports[svc.Port]; main != "" {
		l.URL = "http://" + main
	}
	if svc.Ready.HTTP != "" || svc.Ready.TCP != "" {
		c.file.Unwatched(service)
	}
	l.Ready = readySigns{Healthy: c.file.Healthy(service), TCP: l.Ports[svc.Ready.TCP]}
	if svc.Ready.HTTP != "" {
		l.Ready.HTTP = l.URL + svc.Ready.HTTP
	}
	if at.traces != "" && c.sys.Spec.Traces != nil {
		w.Env[c.sys.Spec.Traces.Env] = at.traces
	}
	for key, value := range svc.Env {
		if _, led := w.Env[key]; !led {
			w.Env[key] = value
		}
	}
	if mine := intersect(defects, svc.Defects); len(mine) > 0 {
		w.Env[c.sys.Spec.Defects.Env] = strings.Join(mine, ",")
	}
	if l.Secrets = svc.Secrets; len(l.Secrets) > 0 { // its log is ours; it has them by its file
		secrets, err := at.secrets(l.Secrets)
		if err != nil {
			return l, err
		}
		for _, name := range l.Secrets {
			l.Env = append(l.Env[:len(l.Env):len(l.Env)], name+"="+secrets[name])
		}
	}
	return l, nil
}

// drawLink leads an edge through the proxy: by the caller's variable, or by the
// fixed name that the caller has for the callee.
func (c *composed) drawLink(bp *blueprint, at site, i int, e spec.Edge) error {
	caller, callee := c.sys.ContainerOf(e.Caller), c.sys.ContainerOf(e.Callee)
	inside, port := c.sys.Spec.Services[e.Callee].At[e.Port], compose.PortOf(i)
	if inside == "" {
		return fmt.Errorf("%s has no port %q", e.Callee, e.Port)
	}
	l := link{
		Proxy: e.Caller + "." + e.Callee, Edge: e.Name(), Service: c.sys.EdgeOf(e.Name()), Protocol: e.Protocol,
		Listen: "0.0.0.0:" + port, Upstream: net.JoinHostPort(callee, inside),
		Direct: at.services[e.Callee+"."+e.Port], Database: c.sys.Spec.Services[e.Callee].Database,
	}
	defer func() { bp.Links = append(bp.Links, l) }()
	switch {
	case e.Caller == spec.Client:
		_, c.publish[port], _ = net.SplitHostPort(at.links[e.Name()])
		l.Tells = at.links[e.Name()]
		address := addressFor(e.Protocol, l.Tells)
		if before := bp.ClientEnv[e.Env]; before != "" {
			address = before + "," + address
		}
		bp.ClientEnv[e.Env] = address
	case c.file.Mode(caller) != "":
		return fmt.Errorf("%s has network_mode %s, which no proxy can be on", caller, c.file.Mode(caller))
	case e.Env != "":
		l.Tells = compose.ProxyService + ":" + port
		return c.leadVariable(e, caller, callee, l.Tells)
	default:
		host := e.Host
		if host == "" {
			host = callee
		}
		c.takeovers = append(c.takeovers, compose.Takeover{Caller: caller, Host: host, Port: inside})
		c.links = append(c.links, len(bp.Links))
	}
	return nil
}

func (c *composed) leadVariable(e spec.Edge, caller, callee, address string) error {
	w := c.wish(caller)
	value, set := w.Env[e.Env]
	if !set {
		value, set = c.file.Env(caller, e.Env)
	}
	if !set {
		w.Env[e.Env] = addressFor(e.Protocol, address)
		return nil
	}
	led, err := compose.Lead(value, callee, address)
	if err != nil {
		return fmt.Errorf("variable %s: %w", e.Env, err)
	}
	w.Env[e.Env] = led
	return nil
}

// create makes the proxy's container, on all networks of the project.
func (c *composed) create(ctx context.Context) error {
	image, err := compose.Image(ctx, c.program)
	if err != nil {
		return err
	}
	c.file.Place(c.takeovers)
	if err := c.file.AddProxy(c.project, image, c.token, c.publish); err != nil {
		return err
	}
	return c.project.Create(ctx, c.file, compose.ProxyService)
}

// settle is for once the proxy runs and its addresses are known: it makes the
// containers of everybody else.
func (c *composed) settle(ctx context.Context, bp *blueprint) error {
	proxy, err := docker.Inspect(ctx, bp.Proxy.Container)
	if err != nil {
		return err
	}
	for i, t := range c.takeovers {
		ip := proxy.Networks[c.file.NetworkName(c.project, t.Network)]
		if ip == "" {
			return fmt.Errorf("edge %s: the proxy has no address on network %s, it has %v", bp.Links[c.links[i]].Edge, t.Network, proxy.Networks)
		}
		bp.Links[c.links[i]].Listen = net.JoinHostPort(ip, t.Port)
		c.wish(t.Caller).Hosts[t.Host] = ip
	}
	for _, name := range slices.Sorted(maps.Keys(c.wishes)) {
		if err := c.file.Grant(*c.wishes[name]); err != nil {
			return err
		}
	}
	return c.project.Create(ctx, c.file)
}

// removeProject removes what an environment has of containers, networks and volumes.
func (bp *blueprint) removeProject() error {
	if bp.Project == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeWithin)
	defer cancel()
	return bp.Project.Remove(ctx)
}

// quota is a hold on what a container may use, by container update.
type quota struct {
	container string
	before    docker.Limits
	usage     docker.Usage
	since     time.Time
	undo      []string
	memory    bool
}

func newQuota(ctx context.Context, container string, h faults.Hold) (*quota, error) {
	q := &quota{container: container, since: time.Now(), memory: h.Memory != nil}
	var err error
	if q.before, err = docker.LimitsOf(ctx, container); err == nil {
		q.usage, err = docker.UsageOf(ctx, container)
	}
	if err != nil {
		return nil, err
	}
	machine, err := docker.MachineOf(ctx)
	if err != nil {
		return nil, err
	}
	var flags []string
	if q.memory {
		limit := q.usage.Memory + h.Memory.Headroom
		if q.before.Memory > 0 {
			limit = min(limit, uint64(q.before.Memory))
		}
		flags, q.undo = memoryFlags(int64(limit), int64(limit)), memoryFlags(machine.Memory, machine.Memory)
		if q.before.Memory > 0 {
			q.undo = memoryFlags(q.before.Memory, q.before.MemorySwap)
		}
	} else {
		flags, q.undo = []string{"--cpus", fmt.Sprint(h.CPU)}, []string{"--cpus", fmt.Sprint(machine.CPUs)}
		if q.before.NanoCpus > 0 {
			q.undo = []string{"--cpus", fmt.Sprint(float64(q.before.NanoCpus) / 1e9)}
		}
	}
	return q, docker.Update(ctx, container, flags...)
}

func memoryFlags(memory, withSwap int64) []string {
	return []string{"--memory", fmt.Sprint(memory), "--memory-swap", fmt.Sprint(withSwap)}
}

// status counts the periods in which the share was not enough, or how often the
// limit was met.
func (q *quota) status(ctx context.Context) (faults.Evidence, error) {
	now, err := docker.UsageOf(ctx, q.container)
	if err != nil {
		return faults.Evidence{}, err
	}
	r := faults.Receipt{First: q.since, Last: time.Now()}
	if q.memory {
		r.Hits, r.Unit = now.Failed-q.usage.Failed, "limits met"
		r.Note = fmt.Sprintf("uses %d bytes, %d before", now.Memory, q.usage.Memory)
	} else {
		r.Hits, r.Unit = now.Periods-q.usage.Periods, "periods"
		r.Note = fmt.Sprintf("used %.2f of a core, stood still %s", float64(now.CPU-q.usage.CPU)/float64(time.Since(q.since)), time.Duration(now.Throttled-q.usage.Throttled).Round(time.Millisecond))
	}
	return faults.Evidence{Active: true, Receipt: r}, nil
}

func (q *quota) stop() {}

func (q *quota) release(ctx context.Context) error {
	return docker.Update(ctx, q.container, q.undo...)
}
