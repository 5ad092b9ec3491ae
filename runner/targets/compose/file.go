package compose

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ProxyService is the service of the link proxy; callers know it by that name.
const ProxyService = "squall-proxy"

// File is a compose project as its tool resolved it.
type File struct{ doc map[string]any }

func (f *File) services() map[string]any {
	s, _ := f.doc["services"].(map[string]any)
	return s
}

// Names of the services, sorted.
func (f *File) Names() []string { return slices.Sorted(maps.Keys(f.services())) }

func (f *File) service(name string) map[string]any {
	s, _ := f.services()[name].(map[string]any)
	return s
}

func (f *File) text() ([]byte, error) { return yaml.Dump(f.doc) }

// Wish is what we want of a service besides what its project says.
type Wish struct {
	Service string
	Publish map[string]string // port inside -> port on loopback of this machine
	Env     map[string]string
	Hosts   map[string]string // fixed host name -> address of the proxy
}

// Choose leaves the services that have no profile, one that is on, or are wanted
// by name, as the newer tool does by itself and the older only when it starts them.
func (f *File) Choose(profiles, wanted []string) {
	for name := range f.services() {
		of, _ := f.service(name)["profiles"].([]any)
		on := slices.ContainsFunc(of, func(p any) bool { return slices.Contains(profiles, fmt.Sprint(p)) })
		if len(of) > 0 && !on && !slices.Contains(wanted, name) {
			delete(f.services(), name)
		} else {
			delete(f.service(name), "profiles")
		}
	}
}

// Unwatched takes a service's health check away, where something else tells when
// it is ready: a program that is run in each container every few seconds is load.
func (f *File) Unwatched(service string) {
	f.service(service)["healthcheck"] = map[string]any{"disable": true}
}

// Isolate takes away what would meet another copy of the project: published
// ports, container names, names of networks and volumes of its own. Restarts
// become the supervisor's business, who knows what a fault has ended.
func (f *File) Isolate(p Project) error {
	for name, v := range f.services() {
		s, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("compose service %s is not a mapping", name)
		}
		for _, key := range []string{"ports", "restart", "depends_on", "scale", "deploy"} {
			delete(s, key)
		}
		s["container_name"] = p.Container(name)
	}
	delete(f.doc, "name")
	for _, kind := range []string{"networks", "volumes"} {
		all, _ := f.doc[kind].(map[string]any)
		for _, v := range all {
			if one, ok := v.(map[string]any); ok && one["external"] == nil {
				delete(one, "name")
			}
		}
	}
	return nil
}

// Restart and After read what Isolate takes away; read them before.

// Restart is the restart policy of a service: never, on-failure or always.
func (f *File) Restart(service string) string {
	policy, _, _ := strings.Cut(fmt.Sprint(f.service(service)["restart"]), ":")
	switch policy {
	case "always", "unless-stopped":
		return "always"
	case "on-failure":
		return policy
	}
	return "never"
}

// After are the services that must be ready before this one starts.
func (f *File) After(service string) []string {
	switch on := f.service(service)["depends_on"].(type) {
	case []any:
		var out []string
		for _, name := range on {
			out = append(out, fmt.Sprint(name))
		}
		return out
	case map[string]any:
		return slices.Sorted(maps.Keys(on))
	}
	return nil
}

// Completes reports whether another service waits for this one to end well, as
// for a migration.
func (f *File) Completes(service string) bool {
	for name := range f.services() {
		on, _ := f.service(name)["depends_on"].(map[string]any)
		how, _ := on[service].(map[string]any)
		if how["condition"] == "service_completed_successfully" {
			return true
		}
	}
	return false
}

// Healthy reports whether the service has a health check in its file.
func (f *File) Healthy(service string) bool {
	check, has := f.service(service)["healthcheck"].(map[string]any)
	return has && check["disable"] != true
}

// Networks of a service, by their keys in the file.
func (f *File) Networks(service string) []string {
	switch on := f.service(service)["networks"].(type) {
	case []any:
		var out []string
		for _, name := range on {
			out = append(out, fmt.Sprint(name))
		}
		return out
	case map[string]any:
		if len(on) > 0 {
			return slices.Sorted(maps.Keys(on))
		}
	}
	return []string{"default"}
}

// NetworkName is Docker's name of a network of the file.
func (f *File) NetworkName(p Project, key string) string {
	all, _ := f.doc["networks"].(map[string]any)
	if one, ok := all[key].(map[string]any); ok {
		if name, ok := one["name"].(string); ok {
			return name
		}
		if one["external"] == true {
			return key
		}
	}
	return p.Name + "_" + key
}

// Image of a service, and whether the project says how to build it.
func (f *File) Image(service string) (name string, built bool) {
	name, _ = f.service(service)["image"].(string)
	_, built = f.service(service)["build"]
	return name, built
}

// aliases of a service on a network, beside its name.
func (f *File) aliases(service, network string) (out []string) {
	on, _ := f.service(service)["networks"].(map[string]any)
	one, _ := on[network].(map[string]any)
	list, _ := one["aliases"].([]any)
	for _, alias := range list {
		out = append(out, fmt.Sprint(alias))
	}
	return out
}

// Mode is the network mode of a service, empty where it has networks.
func (f *File) Mode(service string) string {
	mode, _ := f.service(service)["network_mode"].(string)
	return mode
}

// Env is a variable of a service as its project sets it. The tools write a $ as
// $$, for the file to be read again.
func (f *File) Env(service, key string) (string, bool) {
	env, _ := f.service(service)["environment"].(map[string]any)
	v, set := env[key]
	if v == nil {
		return "", false
	}
	return strings.ReplaceAll(fmt.Sprint(v), "$$", "$"), set
}

// Grant adds what we want of a service.
func (f *File) Grant(w Wish) error {
	s := f.service(w.Service)
	if s == nil {
		return fmt.Errorf("the compose project has no service %s, it has %s", w.Service, strings.Join(f.Names(), ", "))
	}
	if len(w.Publish) > 0 {
		var ports []any
		for _, inside := range slices.Sorted(maps.Keys(w.Publish)) {
			ports = append(ports, "127.0.0.1:"+w.Publish[inside]+":"+inside)
		}
		s["ports"] = ports
	}
	if len(w.Env) > 0 {
		env, _ := s["environment"].(map[string]any)
		env = maps.Clone(env)
		if env == nil {
			env = map[string]any{}
		}
		for key, value := range w.Env {
			env[key] = strings.ReplaceAll(value, "$", "$$")
		}
		s["environment"] = env
	}
	if len(w.Hosts) > 0 {
		s["extra_hosts"] = withHosts(s["extra_hosts"], w.Hosts)
	}
	return nil
}

// withHosts replaces and adds names.
func withHosts(had any, hosts map[string]string) (out []any) {
	add := func(name, ip string) {
		if hosts[name] == "" {
			out = append(out, name+":"+ip)
		}
	}
	switch had := had.(type) {
	case []any:
		for _, line := range had {
			name, ip, _ := strings.Cut(strings.Replace(fmt.Sprint(line), "=", ":", 1), ":")
			add(name, ip)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(had)) {
			add(name, fmt.Sprint(had[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		out = append(out, name+":"+hosts[name])
	}
	return out
}

// AddProxy adds the link proxy, on every network of the project.
func (f *File) AddProxy(p Project, image, token string, publish map[string]string) error {
	networks := map[string]any{}
	for _, name := range f.Names() {
		if mode := f.Mode(name); mode != "" {
			continue
		}
		for _, n := range f.Networks(name) {
			networks[n] = nil
		}
	}
	f.services()[ProxyService] = map[string]any{
		"image": image, "container_name": p.Container(ProxyService), "networks": networks,
		"command":     []any{"proxy", "--listen", "0.0.0.0:" + APIPort, "--token-env", "SQUALL_PROXY_TOKEN"},
		"environment": map[string]any{"SQUALL_PROXY_TOKEN": token},
	}
	return f.Grant(Wish{Service: ProxyService, Publish: publish})
}

// Ports inside the proxy's container: of its API, and of its first edge.
const (
	APIPort   = "8474"
	firstPort = 20001
)

// PortOf is the port inside the proxy's container of the nth edge that a
// variable leads to, from 0.
func PortOf(n int) string { return strconv.Itoa(firstPort + n) }

// Takeover is a fixed host name of a caller that is to lead to the proxy.
type Takeover struct {
	Caller, Host, Port string
	Network            string // on which the caller meets the proxy; filled in by Place
}

// Place gives each takeover a network of its caller on which its port is free at
// the proxy. Two callers of one port may share no second network: then they
// get one of ours.
func (f *File) Place(all []Takeover) {
	taken := map[string]bool{}   // network:port
	meets := map[string]string{} // caller and host -> network: one name has one address
	for i := range all {
		t := &all[i]
		networks := f.Networks(t.Caller)
		if n, is := meets[t.Caller+" "+t.Host]; is {
			networks = []string{n}
		}
		for _, n := range networks {
			if !taken[n+":"+t.Port] {
				t.Network = n
				break
			}
		}
		if t.Network == "" {
			t.Network = "squall-" + strconv.Itoa(i+1)
			f.addNetwork(t.Network)
			f.join(t.Caller, t.Network)
		}
		taken[t.Network+":"+t.Port] = true
		meets[t.Caller+" "+t.Host] = t.Network
	}
}

func (f *File) addNetwork(name string) {
	networks, _ := f.doc["networks"].(map[string]any)
	if networks == nil {
		networks = map[string]any{}
		f.doc["networks"] = networks
	}
	networks[name] = map[string]any{}
}

func (f *File) join(service, network string) {
	s := f.service(service)
	networks, is := s["networks"].(map[string]any)
	if !is {
		networks = map[string]any{}
		for _, n := range f.Networks(service) {
			networks[n] = nil
		}
	}
	networks[network] = nil
	s["networks"] = networks
}

// Lead rewrites the address of a callee within a variable: postgres://u@db:5432/app
// leads to the proxy, and stays what it is otherwise.
func Lead(value, host, proxy string) (string, error) {
	at := regexp.MustCompile(`(^|[^A-Za-z0-9._-])` + regexp.QuoteMeta(host) + `(:[0-9]+)?([^A-Za-z0-9._-]|$)`)
	found := at.FindStringSubmatch(value)
	switch {
	case found == nil:
		return "", fmt.Errorf("%q does not name %s", value, host)
	case value == host:
		return "", fmt.Errorf("%q is a host without a port, and the port is said elsewhere: leave env out, so that the name leads to the proxy", value)
	}
	replaced := at.ReplaceAllString(value, "${1}"+strings.ReplaceAll(proxy, "$", "$$")+"${3}")
	return cmp.Or(replaced, value), nil
}
