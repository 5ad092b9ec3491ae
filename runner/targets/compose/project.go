// Package compose runs an existing compose project (target: compose) under a
// project name of its own. The project's files stay as they are: what their
// tool resolves them to is changed and written beside the environment, with the
// link proxy as one more service and each edge led through it.
package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"squall/runner/targets/docker"
	"squall/scenarios/spec"
)

// Project is a project of ours: all that is needed to make and remove it.
type Project struct {
	Name string   `json:"name"` // of the project; containers are NAME-SERVICE
	Tool []string `json:"tool"` // docker compose, or docker-compose
	Env  []string `json:"-"`
	File string   `json:"file"` // that was written for it
}

// label is on all that a compose tool makes.
const label = "label=com.docker.compose.project="

// FindTool is docker's compose plugin, or the tool before it.
func FindTool(ctx context.Context, env []string) ([]string, error) {
	var errs []error
	for _, tool := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		out, err := docker.Run(ctx, "", env, append(tool[:len(tool):len(tool)], "version", "--short")...)
		if err == nil && len(bytes.TrimSpace(out)) > 0 {
			return tool, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("target compose needs docker's compose plugin or docker-compose: %w", errors.Join(errs...))
}

// Read has the tool resolve a project's files: variables, extensions and
// overrides are its business.
func Read(ctx context.Context, tool, env []string, sys *spec.System) (*File, error) {
	c := sys.Spec.Compose
	dir, err := filepath.Abs(filepath.Dir(sys.File))
	if err != nil {
		return nil, err
	}
	command := append(tool[:len(tool):len(tool)], "-p", "squall")
	for _, f := range c.Files {
		command = append(command, "-f", f)
	}
	command = append(command, "--profile", "*")
	for key, value := range c.Env {
		env = append(env, key+"="+value)
	}
	text, err := docker.Run(ctx, dir, env, append(command, "config")...)
	if err != nil {
		return nil, fmt.Errorf("read compose project: %w", err)
	}
	f := &File{}
	if err := yaml.Load(text, &f.doc); err != nil {
		return nil, fmt.Errorf("read compose project: %w", err)
	}
	if f.services() == nil {
		return nil, errors.New("read compose project: it has no services: files of the first format, without services:, are not supported")
	}
	var wanted []string
	for name := range sys.Spec.Services {
		wanted = append(wanted, sys.ContainerOf(name))
	}
	f.Choose(c.Profiles, wanted)
	return f, nil
}

// Container is the name of a service's container.
func (p Project) Container(service string) string { return p.Name + "-" + service }

// Create makes networks, volumes and the containers of services (none: all of
// them), and starts nothing.
func (p Project) Create(ctx context.Context, f *File, services ...string) error {
	text, err := f.text()
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.File, text, 0o600); err != nil {
		return fmt.Errorf("write compose file: %w", err)
	}
	command := append(p.Tool[:len(p.Tool):len(p.Tool)], "-p", p.Name, "-f", p.File, "up", "--no-start")
	if _, err = docker.Run(ctx, filepath.Dir(p.File), p.Env, append(command, services...)...); err != nil {
		return err
	}
	if len(services) == 0 {
		services = f.Names()
	}
	for _, service := range services {
		if err := p.connect(ctx, f, service); err != nil {
			return err
		}
	}
	return nil
}

// connect is for the older tool, which connects a container to all but its
// first network only when it starts it, and it is not the one who does.
func (p Project) connect(ctx context.Context, f *File, service string) error {
	networks := f.Networks(service)
	if f.Mode(service) != "" || len(networks) < 2 {
		return nil
	}
	st, err := docker.Inspect(ctx, p.Container(service))
	if err != nil {
		return err
	}
	for _, key := range networks {
		name := f.NetworkName(p, key)
		if _, on := st.Networks[name]; on {
			continue
		}
		command := []string{"docker", "network", "connect"}
		for _, alias := range append([]string{service}, f.aliases(service, key)...) {
			command = append(command, "--alias", alias)
		}
		if _, err := docker.Run(ctx, "", p.Env, append(command, name, p.Container(service))...); err != nil {
			return err
		}
	}
	return nil
}

// Remove removes all containers, networks and volumes of the project, by their
// labels: the tool and its file may be gone. It is idempotent.
func (p Project) Remove(ctx context.Context) error {
	var errs []error
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"docker", "ps", "-aq"}, []string{"docker", "rm", "-fv"}},
		{[]string{"docker", "network", "ls", "-q"}, []string{"docker", "network", "rm"}},
		{[]string{"docker", "volume", "ls", "-q"}, []string{"docker", "volume", "rm", "-f"}},
	} {
		out, err := docker.Run(ctx, "", nil, append(kind.list, "--filter", label+p.Name)...)
		if ids := strings.Fields(string(out)); err == nil && len(ids) > 0 {
			_, err = docker.Run(ctx, "", nil, append(kind.remove, ids...)...)
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove compose project %s: %w", p.Name, err)
	}
	return nil
}

// Image makes sure of the image of our own proxy: this program and nothing
// else. It stays, as a cache, under a name that its content gives it.
func Image(ctx context.Context, program string) (string, error) {
	return docker.ImageOf(ctx, "squall", program)
}
