package app_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mayImport is the import direction: what each package of ours may import of
// ours. A package that is not listed may import nothing of ours; prefixes end in /.
var mayImport = map[string][]string{
	"scenarios/spec":         {},
	"runner/record":          {},
	"faults":                 {},
	"faults/proxy":           {"faults"},
	"faults/disk":            {"faults"},
	"runner/load":            {"runner/record"},
	"runner/probe":           {"runner/record"},
	"runner/metrics":         {"runner/record"},
	"runner/trace":           {"runner/record"},
	"runner/verdict":         {"scenarios/spec", "runner/record", "runner/metrics"},
	"runner/targets":         {"faults", "scenarios/spec"},
	"runner/targets/ports":   {},
	"runner/targets/compose": {"scenarios/spec", "runner/targets/docker"},
	"runner/targets/process": {"runner/targets/docker", "runner/targets/compose", "runner/targets/ports", "faults", "faults/proxy", "faults/disk", "scenarios/spec", "runner/targets"},
	"runner/targets/docker":  {"faults"},
	"runner/targets/remote":  {"faults", "faults/proxy", "scenarios/spec", "runner/targets", "runner/targets/docker"},
	"runner/roletest":        {"faults/proxy", "faults/disk"},
	"runner/squalltest":      {"faults/proxy", "runner/targets/docker", "runner/targets/ports", "runner/verdict"},
	"runner/watchdog":        {"runner/inject"},
	"runner/inject":          {"faults", "runner/record"},
	"runner/plan":            {"scenarios/spec", "faults"},
	"runner/lint":            {"scenarios/spec", "faults", "runner/metrics"},
	"runner/scaffold":        {"scenarios/spec"},
	"runner/importer":        {"scenarios/spec"},
	"runner/engine":          {"scenarios/spec", "faults", "runner/record", "runner/plan", "runner/inject", "runner/load", "runner/probe", "runner/metrics", "runner/trace", "runner/verdict", "runner/targets"},
	"runner/gameday":         {"scenarios/spec", "faults", "runner/record", "runner/plan", "runner/inject", "runner/verdict", "runner/targets", "runner/engine"},
	"reports":                {"scenarios/spec", "runner/record", "runner/verdict", "runner/metrics"},
	"reports/live":           {"scenarios/spec", "runner/record", "runner/verdict", "reports"},
	"runner/app":             {"scenarios/", "runner/", "faults", "faults/", "reports", "reports/"},
	"runner/cmd/squall":      {"runner/app"},
	"sample-system":          {"sample-system/"},
	"bench/":                 {"faults", "faults/", "runner/", "reports", "scenarios/"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportDirection(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "squall/...").Output()
	require.NoError(t, err)
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for dec.More() {
		var p listed
		require.NoError(t, dec.Decode(&p))
		seen++
		name := strings.TrimPrefix(p.ImportPath, "squall/")
		allowed := allowedFor(name)
		for _, imp := range p.Imports {
			ours, is := strings.CutPrefix(imp, "squall/")
			if is {
				assert.True(t, permits(allowed, ours), "%s must not import %s", name, ours)
			}
		}
	}
	assert.Greater(t, seen, 10, "go list found the packages")
}

func allowedFor(name string) []string {
	if allowed, ok := mayImport[name]; ok {
		return allowed
	}
	if strings.HasPrefix(name, "sample-system/") {
		return mayImport["sample-system"]
	}
	if strings.HasPrefix(name, "bench") {
		return mayImport["bench/"]
	}
	return nil
}

func permits(allowed []string, imp string) bool {
	for _, a := range allowed {
		if imp == a || strings.HasSuffix(a, "/") && strings.HasPrefix(imp, a) {
			return true
		}
	}
	return false
}
