package app_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"squall/runner/app"
	"squall/runner/scaffold"
)

// systems are the resilience systems that squall can judge. Each has a template
// and, as a tag, a scenario or game day of the shop.
const systems = `gateway registry breaker retry timeout bulkhead bus schema dlq ttl saga outbox cqrs event-store
database db-failover failover cache fallback shedding batch canary blue-green rolling autoscale migration mesh-policy
tracing metrics health logs playbook pipeline capacity`

// What a template makes of a real system is valid, and lint finds nothing in it.
func TestEveryTemplateIsAGoodScenario(t *testing.T) {
	var rows []string
	for _, r := range scaffold.Rows() {
		rows = append(rows, r.Name)
	}
	require.Equal(t, strings.Fields(systems), rows)
	t.Chdir("../..")
	to := t.TempDir()
	for _, row := range rows {
		args := []string{"new", row, "t-" + row, "--to", to, "--system", "sample-system/system.yaml", "--load", "scenarios/load/checkout.js",
			"--edge", "payments -> psp-primary", "--slo", "checkout-success", "--books", "charges", "--queue", "dlq"}
		if strings.HasPrefix(row, "db") || row == "database" {
			args = append(args, "--switch", "postgres")
		}
		code, stdout, said := command(t, args...)
		if row == "tracing" && strings.Contains(said, "needs traces") {
			continue // of a system that exports none, it says so
		}
		require.Equal(t, app.ExitPass, code, said)
		if strings.Contains(stdout, "next: squall gameday plan ") {
			day := filepath.Join(to, "t-"+row+".yaml")
			code, _, said := command(t, "gameday", "plan", day, "-f", filepath.Join(t.TempDir(), "plan.json"))
			require.Equal(t, app.ExitPass, code, said)
			require.NoError(t, os.Remove(day)) // lint reads scenarios only
		}
	}
	code, stdout, said := command(t, "lint", to)
	assert.Equal(t, app.ExitPass, code, said)
	assert.GreaterOrEqual(t, strings.Count(stdout, ": ok: "), len(rows)-2)
}

// The library has an example for each of the systems.
func TestEverySystemHasAScenario(t *testing.T) {
	tagged := map[string][]string{}
	files, err := filepath.Glob("../../scenarios/*/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		var doc struct {
			Metadata struct{ Tags []string }
		}
		src, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(src, &doc), file)
		for _, tag := range doc.Metadata.Tags {
			tagged[tag] = append(tagged[tag], file)
		}
	}
	for _, row := range strings.Fields(systems) {
		assert.NotEmpty(t, tagged[row], row)
	}
}

// A project of three services is whole at once: everything that init writes is
// valid, and what is there already stays.
func TestInit(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	flags := []string{"init", "--ready", "/health",
		"--service", "front=LISTEN=${self.http} ./front --quick", "--call", "client -> front=FRONT_URL",
		"--service", "orders=./orders --listen ${self.http}", "--call", "front -> orders=ORDERS_URL",
		"--service", "stock=./stock --listen ${self.http}", "--call", "orders -> stock=STOCK_URL"}
	code, stdout, said := command(t, flags...)
	require.Equal(t, app.ExitPass, code, said)
	for _, file := range []string{"squall/system.yaml", "squall/slo/requests.yaml", "squall/load/requests.js", "squall/schema/scenario.json",
		"squall/schema/system.json", "squall/schema/gameday.json", "squall/scenarios/first.yaml", ".vscode/settings.json", ".github/workflows/squall.yml"} {
		assert.FileExists(t, file)
		assert.Contains(t, stdout, "wrote "+file+"\n")
	}
	code, _, said = command(t, "lint", "squall/scenarios")
	assert.Equal(t, app.ExitPass, code, said)
	system, err := os.ReadFile("squall/system.yaml")
	require.NoError(t, err)
	assert.Contains(t, string(system), "command: [../orders, --listen, '${self.http}']", "seen from where the file is")
	assert.Contains(t, string(system), "env: {LISTEN: '${self.http}'}")
	code, targets, _ := command(t, "list", "targets", "--system", "squall/system.yaml")
	assert.Equal(t, app.ExitPass, code)
	assert.Contains(t, targets, "orders -> stock")

	settings, err := os.ReadFile(".vscode/settings.json")
	require.NoError(t, err)
	var editor struct {
		Schemas map[string]string `json:"yaml.schemas"`
	}
	require.NoError(t, json.Unmarshal(settings, &editor))
	for schema := range editor.Schemas {
		assert.FileExists(t, schema)
	}

	mine := []byte("# mine\n")
	require.NoError(t, os.WriteFile(".github/workflows/squall.yml", mine, 0o600))
	code, stdout, _ = command(t, flags...)
	assert.Equal(t, app.ExitPass, code)
	assert.Equal(t, 9, strings.Count(stdout, "kept  "))
	kept, err := os.ReadFile(".github/workflows/squall.yml")
	require.NoError(t, err)
	assert.Equal(t, mine, kept)

	for want, bad := range map[string][]string{
		`service "front": write NAME=PROGRAM`:                       {"--service", "front"},
		`service "A": want a name of lower-case letters`:            {"--service", "A=./a ${self.http}"},
		`call "a > b=B": write CALLER -> CALLEE`:                    {"--service", "a=./a ${self.http}", "--call", "a > b=B"},
		`"a": nothing tells it where to listen: write ${self.http}`: {"--service", "a=./a", "--call", "client -> a=A_URL"},
		`there is no service "as" (did you mean "a"?)`:              {"--service", "a=./a ${self.http}", "--call", "client -> as=A_URL"},
		`want a path, such as /ready`:                               {"--service", "a=./a ${self.http}", "--call", "client -> a=A_URL", "--ready", "ready"},
		`unknown value "htp"`:                                       {"--service", "a=./a ${self.http}", "--call", "client -> a=A_URL", "--call", "a -> a=B:htp"},
		"it lacks a call that says where the load goes":             {"--service", "a=./a ${self.http}"},
		`--ci "travis"`: {"--service", "a=./a", "--ci", "travis"},
	} {
		empty := t.TempDir()
		code, _, said := command(t, append([]string{"init", empty}, bad...)...)
		assert.Equal(t, app.ExitUsage, code, said)
		assert.Contains(t, said, want)
		left, err := os.ReadDir(empty)
		require.NoError(t, err)
		assert.Empty(t, left, "nothing was written that the next try would keep")
	}
}

// Beside a compose project, its files say enough.
func TestInitFromComposeFile(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("docker-compose.yml", []byte(`services:
  front:
    image: front
    ports: ["8080:8080"]
    environment: {ORDERS_URL: "http://orders:8080"}
  orders:
    image: orders
    expose: ["8080"]
    environment: {DATABASE_URL: "postgres://app@db:5432/orders"}
  db: {image: "postgres:16"}
`), 0o600))
	code, _, said := command(t, "init", "--compose", "docker-compose.yml", "--ready", "/health")
	require.Equal(t, app.ExitPass, code, said)
	code, _, said = command(t, "lint", "squall/scenarios")
	assert.Equal(t, app.ExitPass, code, said)
	system, err := os.ReadFile("squall/system.yaml")
	require.NoError(t, err)
	for _, want := range []string{"compose: {files: [../docker-compose.yml]}", "front -> orders: {protocol: http, env: ORDERS_URL, port: p8080}",
		"orders -> db: {protocol: postgres, env: DATABASE_URL, port: p5432}", "client -> front: {protocol: http, env: FRONT_URL, port: p8080}"} {
		assert.Contains(t, string(system), want)
	}
	first, err := os.ReadFile("squall/scenarios/first.yaml")
	require.NoError(t, err)
	assert.Contains(t, string(first), "on: front -> orders")

	// Nobody has to name the files that compose finds by itself.
	system, err = os.ReadFile("docker-compose.yml")
	require.NoError(t, err)
	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "compose.yaml"), system, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(other, "compose.override.yml"), []byte("services: {orders: {environment: {STOCK: none}}}\n"), 0o600))
	code, stdout, said := command(t, "init", other)
	require.Equal(t, app.ExitPass, code, said)
	assert.Contains(t, stdout, "compose.override.yml: services and calls are taken from there\n")
	system, err = os.ReadFile(filepath.Join(other, "squall", "system.yaml"))
	require.NoError(t, err)
	assert.Contains(t, string(system), "compose: {files: [../compose.yaml, ../compose.override.yml]}")

	code, _, said = command(t, "init", "--compose", "absent.yml", t.TempDir())
	assert.Equal(t, app.ExitUsage, code)
	assert.Contains(t, said, "absent.yml")
}

// The pipelines are what their systems can read, and the commands in them are
// commands of squall with flags that there are.
func TestPipelines(t *testing.T) {
	for ci, file := range scaffold.CI {
		if file == "" {
			continue
		}
		dir := t.TempDir()
		code, _, said := command(t, "init", dir, "--ci", ci, "--service", "a=./a ${self.http}", "--call", "client -> a=A_URL")
		require.Equal(t, app.ExitPass, code, said)
		text, err := os.ReadFile(filepath.Join(dir, file))
		require.NoError(t, err)
		if ci != "jenkins" {
			var doc map[string]any
			require.NoError(t, yaml.Unmarshal(text, &doc), file)
		} else {
			assert.Equal(t, strings.Count(string(text), "{"), strings.Count(string(text), "}"))
		}
		ran := 0
		for _, line := range strings.Split(string(text), "\n") {
			_, args, found := strings.Cut(strings.TrimRight(line, "'"), ".squall/bin/squall ")
			if !found {
				continue
			}
			ran++
			t.Run(ci+" "+args, func(t *testing.T) {
				t.Chdir(dir)
				words := strings.Fields(args)
				if words[0] == "run" {
					words = append(words, "--dry-run")
				}
				code, _, said := command(t, words...)
				assert.Equal(t, app.ExitPass, code, said)
			})
		}
		assert.Equal(t, 2, ran, "%s lints and runs", ci)
		for _, want := range []string{"junit", "make -C .squall build k6", "out"} {
			assert.Contains(t, string(text), want, ci)
		}
	}
}

func TestImportChaosToolkit(t *testing.T) {
	t.Chdir("../importer/testdata")
	for _, file := range []string{"shop.json", "shop.yaml", "lost.json"} {
		t.Run(file, func(t *testing.T) {
			to := t.TempDir()
			code, stdout, said := command(t, "import", "chaostoolkit", file, "--to", to, "--system", "system/system.yaml", "--load", "system/load.js", "--edge", "bank=payments -> bank")
			require.Equal(t, app.ExitPass, code, said)
			name := strings.TrimSuffix(file, filepath.Ext(file))
			text, err := os.ReadFile(filepath.Join(to, name+".yaml"))
			require.NoError(t, err)
			code, _, said = command(t, "validate", filepath.Join(to, name+".yaml"))
			assert.Equal(t, app.ExitPass, code, "%s\n%s", said, text)
			here, err := filepath.Abs(".")
			require.NoError(t, err)
			rel, err := filepath.Rel(to, here)
			require.NoError(t, err)
			golden(t, file+".txt", strings.ReplaceAll(strings.ReplaceAll(string(text), rel, "HERE"), to, "TO")+"\n"+strings.ReplaceAll(stdout, to, "TO"))
		})
	}
	for _, bad := range []string{"{", "title: nothing is done", "- a list"} {
		file := filepath.Join(t.TempDir(), "bad.json")
		require.NoError(t, os.WriteFile(file, []byte(bad), 0o600))
		code, _, said := command(t, "import", "chaostoolkit", file, "--to", t.TempDir(), "--system", "system/system.yaml")
		assert.Equal(t, app.ExitUsage, code)
		assert.Contains(t, said, "not an experiment")
	}
}
