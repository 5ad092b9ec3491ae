package process

import (
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
	"squall/scenarios/spec"
)

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
	if l.Secrets = d.service.Secrets; len(l.Secrets) > 0 {
		secrets, err := d.at.secrets(l.Secrets)
		if err != nil {
			return launch{}, err
		}
		maps.Copy(env, secrets)
	}
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

func orDefault(d spec.Duration, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return time.Duration(d)
}

func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}
