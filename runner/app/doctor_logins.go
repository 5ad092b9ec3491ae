package app

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"squall/runner/metrics"
	"squall/runner/probe"
	"squall/runner/watchdog"
	"squall/scenarios/spec"
)

// diagnoseSecrets tells which variables with credentials are not set; of those
// that are, nothing.
func (a *app) diagnoseSecrets(sys *spec.System) (found []diagnosis) {
	names := map[string]string{}
	for name, svc := range sys.Spec.Services {
		if svc.Database != nil && svc.Database.PasswordEnv != "" {
			names[svc.Database.PasswordEnv] = "the database of " + name
		}
		for _, v := range svc.Secrets {
			names[v] = "service " + name
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

// diagnoseLogins shows credentials to whom they are for, but for the proxies',
// which their edges show.
func (a *app) diagnoseLogins(ctx context.Context, sys *spec.System) (found []diagnosis) {
	if sys.Spec.Prometheus != nil {
		found = append(found, a.diagnosePrometheus(ctx, sys.Spec.Prometheus))
	}
	if w := sys.Spec.Watchdog; w != nil {
		d := diagnosis{what: "watchdog", ok: true, says: w.URL + " takes our token"}
		if err := watchdog.NewClient(w.URL, a.Env(w.TokenEnv)).Look(ctx); err != nil {
			d.ok, d.says = false, err.Error()
		}
		found = append(found, d)
	}
	for _, e := range sys.Spec.Edges {
		callee := sys.Spec.Services[e.Callee]
		if at := callee.At[e.Port]; callee.Database != nil && e.Protocol == "postgres" && !sys.Started() {
			found = append(found, a.diagnoseDatabase(ctx, e.Callee, at, callee.Database))
		}
	}
	return found
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

// diagnoseDatabase logs in, and out again.
func (a *app) diagnoseDatabase(ctx context.Context, name, at string, db *spec.Database) diagnosis {
	address := url.URL{Scheme: "postgres", Host: at, User: url.UserPassword(db.User, a.Env(db.PasswordEnv)), Path: "/" + db.Name, RawQuery: "sslmode=" + db.TLS}
	got := probe.SQL{DSNs: []string{address.String()}, Query: "SELECT 1", Timeout: lookWithin}.Do(ctx)
	if !got.OK {
		return diagnosis{what: "database " + name, says: got.Note}
	}
	return diagnosis{what: "database " + name, ok: true, says: fmt.Sprintf("%s lets %s in", at, db.User)}
}
