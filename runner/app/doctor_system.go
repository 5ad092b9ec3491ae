package app

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"squall/runner/metrics"
	"squall/runner/targets/compose"
	"squall/runner/targets/process"
	"squall/scenarios/spec"
)

// lookWithin bounds one look of the doctor at a system.
const lookWithin = 3 * time.Second

// clockMayDiffer is how far a clock may be off before times of logs and traces
// no longer fit ours.
const clockMayDiffer = time.Second

// diagnoseFile looks at all that a system file names, before the first fault:
// what it takes to start it, or whether it can be reached and may be touched.
func (a *app) diagnoseFile(ctx context.Context, file string) ([]diagnosis, error) {
	sys, problems := loadSystem(file, nil)
	if len(problems) > 0 {
		return nil, exitError{code: ExitUsage, err: problems}
	}
	found := a.diagnoseSecrets(sys)
	for _, missing := range process.Missing(sys, []string{"PATH=" + a.Env("PATH")}) {
		found = append(found, diagnosis{what: "program", says: missing})
	}
	if sys.Spec.Target == spec.TargetCompose {
		found = append(found, diagnoseCompose(ctx, sys)...)
	}
	if !ours(sys) {
		for _, f := range a.remote(sys, "doctor", "").Check(ctx) {
			d := diagnosis{what: f.What, ok: f.Err == nil, says: f.Says}
			if f.Err != nil {
				d.says = f.Err.Error()
			}
			found = append(found, d)
		}
	}
	if sys.Spec.Prometheus != nil {
		found = append(found, a.diagnosePrometheus(ctx, sys.Spec.Prometheus))
	}
	return append(found, diagnoseAddresses(ctx, sys)...), nil
}

// diagnosePrometheus asks for the series once; none at all is a wrong selector.
func (a *app) diagnosePrometheus(ctx context.Context, p *spec.Prometheus) diagnosis {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	n, err := metrics.Federation(p.URL, p.Match, a.Env(p.TokenEnv)).Look(ctx)
	if err != nil {
		return diagnosis{what: "prometheus", says: err.Error()}
	}
	return diagnosis{what: "prometheus", ok: n > 0, says: fmt.Sprintf("%s has %d series of %s", p.URL, n, strings.Join(p.Match, " "))}
}

// diagnoseSecrets tells which variables with credentials are not set; of those
// that are, nothing.
func (a *app) diagnoseSecrets(sys *spec.System) (found []diagnosis) {
	names := map[string]string{}
	for name, svc := range sys.Spec.Services {
		if svc.Database != nil && svc.Database.PasswordEnv != "" {
			names[svc.Database.PasswordEnv] = "the database of " + name
		}
		if svc.Hooks != nil {
			for _, v := range svc.Hooks.Env {
				names[v] = "the hooks of " + name
			}
		}
	}
	for _, e := range sys.Spec.Edges {
		if e.Through != nil && e.Through.TokenEnv != "" {
			names[e.Through.TokenEnv] = "the proxy of " + e.Name()
		}
	}
	if p := sys.Spec.Prometheus; p != nil && p.TokenEnv != "" {
		names[p.TokenEnv] = "the Prometheus server"
	}
	if w := sys.Spec.Watchdog; w != nil {
		names[w.TokenEnv] = "the watchdog"
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d := diagnosis{what: "credential", ok: a.Env(name) != "", says: name + " is set, for " + names[name]}
		if !d.ok {
			d.says = name + " is not set: it is for " + names[name]
		}
		found = append(found, d)
	}
	return found
}

func diagnoseCompose(ctx context.Context, sys *spec.System) []diagnosis {
	tool, err := compose.FindTool(ctx, os.Environ())
	if err != nil {
		return []diagnosis{{what: "compose", says: err.Error()}}
	}
	found := []diagnosis{{what: "compose", ok: true, says: strings.Join(tool, " ")}}
	file, err := compose.Read(ctx, tool, os.Environ(), sys)
	if err != nil {
		return append(found, diagnosis{what: "project", says: err.Error()})
	}
	for _, name := range slices.Sorted(maps.Keys(sys.Spec.Services)) {
		if inside := sys.ContainerOf(name); !slices.Contains(file.Names(), inside) {
			found = append(found, diagnosis{what: "service " + name, says: "the compose project has no service " + inside})
		}
	}
	return append(found, diagnosis{what: "project", ok: true, says: strings.Join(file.Names(), ", ")})
}

// diagnoseAddresses dials every port of services that are somewhere else, and
// compares the clock of those that speak HTTP.
func diagnoseAddresses(ctx context.Context, sys *spec.System) (found []diagnosis) {
	if sys.Spec.Target == spec.TargetCompose || sys.Spec.Target == spec.TargetContainers {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(sys.Spec.Services)) {
		svc := sys.Spec.Services[name]
		for _, port := range slices.Sorted(maps.Keys(svc.At)) {
			found = append(found, dial(ctx, name+"."+port, svc.At[port]))
		}
		if at := svc.At[svc.Port]; at != "" && svc.Ready.HTTP != "" {
			found = append(found, clockOf(ctx, name, "http://"+at+svc.Ready.HTTP))
		}
	}
	return found
}

func dial(ctx context.Context, what, address string) diagnosis {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return diagnosis{what: "address " + what, says: err.Error()}
	}
	_ = conn.Close()
	return diagnosis{what: "address " + what, ok: true, says: address + " takes connections"}
}

// clockOf asks for readiness and reads the answer's date, which counts in
// whole seconds.
func clockOf(ctx context.Context, name, url string) diagnosis {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	d := diagnosis{what: "ready " + name}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		d.says = err.Error()
		return d
	}
	begun := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.says = err.Error()
		return d
	}
	defer func() { _ = resp.Body.Close() }()
	d.ok, d.says = resp.StatusCode/100 == 2, resp.Status
	theirs, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return d
	}
	if off := theirs.Sub(begun.Truncate(time.Second)); off.Abs() > clockMayDiffer+time.Since(begun) {
		d.ok, d.says = false, fmt.Sprintf("its clock is off by %s: set both by NTP", off)
	}
	return d
}
