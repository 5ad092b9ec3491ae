package app

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"squall/runner/targets/compose"
	"squall/runner/targets/docker"
	"squall/scenarios/spec"
)

// diagnoseDocker tells whether Docker answers us, which its socket's owner decides.
func diagnoseDocker(ctx context.Context) diagnosis {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	m, err := docker.MachineOf(ctx)
	if err != nil {
		return diagnosis{what: "docker", says: err.Error()}
	}
	return diagnosis{what: "docker", ok: true, says: fmt.Sprintf("%d cores, %d MiB", m.CPUs, m.Memory>>20)}
}

// diagnoseCompose resolves the project, and looks for what the system file names
// and for every image.
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
	found = append(found, diagnosis{what: "project", ok: true, says: strings.Join(file.Names(), ", ")})
	return append(found, diagnoseImages(ctx, file)...)
}

// diagnoseImages looks for images that are not on this machine yet. One that is
// built from a folder is built at the start. Another would be pulled then, which
// the time for the start may not suffice for, or is nowhere.
func diagnoseImages(ctx context.Context, file *compose.File) (found []diagnosis) {
	seen := map[string]bool{}
	for _, service := range file.Names() {
		image, built := file.Image(service)
		if image == "" || seen[image] || docker.HasImage(ctx, image) {
			continue
		}
		seen[image] = true
		d := diagnosis{what: "image " + image, says: "it is not here: build it or pull it first"}
		if built {
			d.spare, d.says = true, "it is not here, and is built at the start"
		}
		found = append(found, d)
	}
	return found
}
