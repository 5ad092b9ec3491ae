package app

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"time"

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
	if sys.Spec.Target == spec.TargetCompose || sys.Spec.Target == spec.TargetContainers {
		found = append(found, diagnoseDocker(ctx))
	}
	if sys.Spec.Target == spec.TargetCompose {
		found = append(found, diagnoseCompose(ctx, sys)...)
	}
	if !sys.Started() {
		for _, f := range a.remote(sys, "doctor", "").Check(ctx) {
			d := diagnosis{what: f.What, ok: f.Err == nil, says: f.Says}
			if f.Err != nil {
				d.says = f.Err.Error()
			}
			found = append(found, d)
		}
	}
	found = append(found, a.diagnoseLogins(ctx, sys)...)
	return append(found, diagnoseAddresses(ctx, sys)...), nil
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
