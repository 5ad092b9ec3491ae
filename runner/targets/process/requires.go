package process

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"squall/scenarios/spec"
)

// programFolders are where distributions keep programs beside PATH: Debian's
// PostgreSQL packages put the server's own there, one folder per version.
var programFolders = []string{"/usr/lib/postgresql/*/bin", "/usr/sbin"}

// Missing says, a line for each, which programs the services of a system
// require that this machine does not have. environ is that of the services.
func Missing(sys *spec.System, environ []string) []string {
	by := map[string][]string{}
	for name := range sys.Spec.Services {
		service := sys.ServiceOf(name)
		for _, program := range sys.Spec.Services[name].Requires {
			if !slices.Contains(by[program], service) {
				by[program] = append(by[program], service)
			}
		}
	}
	var out []string
	for _, program := range slices.Sorted(maps.Keys(by)) {
		if !found(program, environ) {
			slices.Sort(by[program])
			out = append(out, fmt.Sprintf("no program %s on this machine (required by %s)", program, strings.Join(by[program], ", ")))
		}
	}
	return out
}

func found(program string, environ []string) bool {
	folders := slices.Clone(programFolders)
	for _, kv := range environ {
		if path, is := strings.CutPrefix(kv, "PATH="); is {
			folders = append(folders, filepath.SplitList(path)...)
		}
	}
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, program))
		if err == nil && slices.ContainsFunc(files, executable) {
			return true
		}
	}
	return false
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
