package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"squall/runner/targets/docker"
	"squall/scenarios/spec"
)

// Snapshot has "process SERVICE", and of every server that the file names all
// proxies with all their toxics, also those of others: they must be as before.
func (e *Environment) Snapshot(ctx context.Context) (map[string]string, error) {
	picture := map[string]string{}
	for name := range e.where.Services {
		p, err := e.process(name)
		if err != nil {
			return nil, err
		}
		st, err := p.now(ctx)
		if err != nil {
			return nil, fmt.Errorf("snapshot of %s: %w", name, err)
		}
		picture["process "+name] = st.says
	}
	seen := map[string]bool{}
	for _, l := range e.where.Links {
		server := l.Toxiproxy + l.Squall
		if seen[server] {
			continue
		}
		seen[server] = true
		if err := e.snapshotServer(ctx, l, picture); err != nil {
			return nil, fmt.Errorf("snapshot of %s: %w", server, err)
		}
	}
	return picture, nil
}

func (e *Environment) snapshotServer(ctx context.Context, l link, picture map[string]string) error {
	if l.Squall != "" {
		return e.snapshotSquall(ctx, l, picture)
	}
	all, err := stock{l.Toxiproxy}.proxies(ctx)
	for name, p := range all {
		toxics := map[string]string{}
		for _, t := range p.Toxics {
			text, _ := json.Marshal(t) // plain data never fails
			toxics[t.Name] = string(text)
		}
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(toxics)) {
			lines = append(lines, toxics[name])
		}
		picture["proxy "+name+" of "+l.Toxiproxy] = fmt.Sprintf("enabled %v, %s -> %s, toxics [%s]", p.Enabled, p.Listen, p.Upstream, strings.Join(lines, " "))
	}
	return err
}

func (e *Environment) snapshotSquall(ctx context.Context, l link, picture map[string]string) error {
	c := e.squall(l)
	all, err := c.Proxies(ctx)
	if err != nil {
		return err
	}
	for name, p := range all {
		picture["proxy "+name+" of "+l.Squall] = "enabled " + strconv.FormatBool(p.Enabled) + ", upstream " + p.Upstream
	}
	stages, err := c.Stages(ctx)
	var ids []string
	for _, s := range stages {
		ids = append(ids, s.Proxy+"/"+s.ID)
	}
	slices.Sort(ids)
	picture["stages of "+l.Squall] = strings.Join(ids, ", ")
	return err
}

// ports are host:port of a service as reached from here.
func (e *Environment) ports(name string, svc spec.Service) map[string]string {
	if e.cfg.System.Spec.Target != spec.TargetContainers {
		return svc.At
	}
	out := map[string]string{}
	st, err := docker.Inspect(context.Background(), e.cfg.System.ContainerOf(name))
	if err != nil {
		return out
	}
	for port, inside := range svc.At {
		out[port] = st.Address(inside)
	}
	return out
}
