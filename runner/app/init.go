package app

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"squall/runner/scaffold"
	"squall/runner/targets/compose"
)

func (a *app) initCmd() *cobra.Command {
	var services, calls, files []string
	var ready string
	p := scaffold.Project{}
	c := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Begin in a repository of your own: system file, first scenario, load script, schemas, editor settings, CI",
		Long: `Writes a folder squall/ with a system file, an SLO, a load script, a first scenario
and the JSON Schemas, settings for the editor and a pipeline. What it is not told
by flags it takes from the compose file there, or asks. Files that are there already stay as they are.

  squall init --compose docker-compose.yml

  squall init \
    --service 'web=API=${api.http} ./web --listen ${self.http}' --call 'client -> web=WEB_URL' \
    --service 'api=./api --listen ${self.http}'                 --call 'web -> api=API_URL'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			if err := a.describe(&p, dir, files, services, calls, ready); err != nil {
				return err
			}
			return a.begin(p, dir)
		},
	}
	c.Flags().StringArrayVar(&files, "compose", nil, "compose file of the system, in or below DIR; later ones override earlier ones")
	c.Flags().StringArrayVar(&services, "service", nil, "a service and its command: NAME=[VARIABLE=VALUE]... PROGRAM [ARGUMENT]...")
	c.Flags().StringArrayVar(&calls, "call", nil, "who calls whom, by which variable: CALLER -> CALLEE=VARIABLE[:PROTOCOL]")
	c.Flags().StringVar(&ready, "ready", "", "path that every service answers with 2xx once it is ready")
	c.Flags().StringVar(&p.Name, "name", "", "name of the system; the folder's if absent")
	c.Flags().StringVar(&p.CI, "ci", "github", "pipeline: "+strings.Join(slices.Sorted(maps.Keys(scaffold.CI)), ", "))
	return c
}

// describe fills the project from the flags, or by questions.
func (a *app) describe(p *scaffold.Project, dir string, files, services, calls []string, ready string) error {
	if _, known := scaffold.CI[p.CI]; !known {
		return usage("--ci %q: want %s", p.CI, strings.Join(slices.Sorted(maps.Keys(scaffold.CI)), ", "))
	}
	if p.Name == "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return fmt.Errorf("init: %w", err)
		}
		p.Name = systemName(filepath.Base(abs))
	}
	if len(files) == 0 && len(services) == 0 {
		if files = composeFiles(dir); len(files) > 0 {
			fmt.Fprintf(a.Stdout, "found %s: services and calls are taken from there\n", strings.Join(files, ", "))
		}
	}
	if len(files) > 0 {
		if err := propose(p, dir, files, ready); err != nil {
			return err
		}
	} else if len(services) == 0 {
		a.ask(p)
	}
	for _, text := range services {
		if err := p.AddService(text); err != nil {
			return usage("init: %v", err)
		}
	}
	for _, text := range calls {
		if err := p.AddCall(text); err != nil {
			return usage("init: %v", err)
		}
	}
	if len(services) > 0 {
		if err := p.SetReady(ready); err != nil {
			return usage("init: %v", err)
		}
	}
	var err error
	p.Schemas, err = schemas()
	return err
}

// composeFiles are those that compose would read in a folder by itself.
func composeFiles(dir string) (files []string) {
	for _, name := range []string{"compose", "docker-compose"} {
		for _, part := range []string{"", ".override"} {
			for _, ext := range []string{".yaml", ".yml"} {
				file := filepath.Join(dir, name+part+ext)
				if _, err := os.Stat(file); err == nil {
					files = append(files, file)
					break
				}
			}
		}
		if len(files) > 0 {
			return files
		}
	}
	return nil
}

// propose takes services and edges from compose files.
func propose(p *scaffold.Project, dir string, files []string, ready string) error {
	found, err := compose.Propose(files...)
	if err != nil {
		return usage("init: %v", err)
	}
	for _, f := range files {
		rel, err := relative(dir, f)
		if err != nil {
			return err
		}
		p.Compose = append(p.Compose, rel)
	}
	asked := map[string]bool{}
	for _, e := range found.Edges {
		p.Calls = append(p.Calls, scaffold.Call{Caller: e.Caller, Callee: e.Callee, Env: e.Env, Protocol: e.Protocol, Port: e.Port, Why: e.Why})
		asked[e.Callee] = asked[e.Callee] || e.Protocol == "http"
	}
	for _, s := range found.Services {
		svc := scaffold.Service{Name: s.Name, At: s.Ports}
		if asked[s.Name] {
			svc.Ready = ready
		}
		p.Services = append(p.Services, svc)
	}
	return nil
}

// systemName makes a name out of a folder's.
func systemName(folder string) string {
	name := strings.Trim(strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(folder)), "-")
	if name == "" {
		return "system"
	}
	return name
}

// ask asks a person, line by line. What cannot be meant is refused at once, and
// may be written again.
func (a *app) ask(p *scaffold.Project) {
	in := bufio.NewScanner(a.Stdin)
	answer := func() (line string, more bool) {
		fmt.Fprint(a.Stdout, "> ")
		more = in.Scan()
		return strings.TrimSpace(in.Text()), more
	}
	// several takes lines up to an empty one, which does not end what lacks one.
	several := func(question string, take func(string) error, enough func() bool) {
		fmt.Fprintln(a.Stdout, question)
		for {
			line, more := answer()
			switch {
			case !more || line == "" && enough():
				return
			case line == "":
				fmt.Fprintf(a.Stdout, "  there must be %s\n", p.Lacks())
			default:
				if err := take(line); err != nil {
					fmt.Fprintf(a.Stdout, "  %v\n", err)
				}
			}
		}
	}
	several("Services and how they are started, one a line, an empty line to end:\n  web=./web --listen ${self.http}", p.AddService,
		func() bool { return len(p.Services) > 0 })
	several("Who calls whom, and the variable that tells the caller where; client is the load:\n  client -> web=WEB_URL", p.AddCall,
		func() bool { return p.Lacks() == "" })
	fmt.Fprintln(a.Stdout, "Path that every service answers with 2xx once it is ready (empty: none):")
	for {
		path, more := answer()
		err := p.SetReady(path)
		if !more || err == nil {
			return
		}
		fmt.Fprintf(a.Stdout, "  %v\n", err)
	}
}

// begin writes the project and says what to do next.
func (a *app) begin(p scaffold.Project, dir string) error {
	written, kept, err := p.Write(dir)
	for _, name := range written {
		fmt.Fprintf(a.Stdout, "wrote %s\n", name)
	}
	for _, name := range kept {
		fmt.Fprintf(a.Stdout, "kept  %s, which is there already\n", name)
	}
	if err != nil {
		return exitError{code: ExitUsage, err: err}
	}
	fmt.Fprintf(a.Stdout, "\nnext: squall run %s\n", filepath.Join(dir, scaffold.Folder, "scenarios"))
	return nil
}

func schemas() (map[string][]byte, error) {
	out := map[string][]byte{}
	for file, kind := range map[string]string{"scenario.json": "Scenario", "system.json": "System", "gameday.json": "GameDay"} {
		text, err := schemaOf(kind)
		if err != nil {
			return nil, err
		}
		out[file] = text
	}
	return out, nil
}

func (a *app) newCmd() *cobra.Command {
	var to, system, script string
	var choice scaffold.Choice
	c := &cobra.Command{
		Use:   "new TEMPLATE NAME",
		Short: "Write a scenario from a template for your system (squall list templates)",
		Long: `Writes NAME.yaml from a template, filled in with names of the system file: the first
call between two services, the first SLO. It is valid as it is, and meant to be edited;
lines that only you can fill in say "yours". The template playbook makes a game day.

  squall new breaker stock-slow --edge 'orders -> stock'`,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			row, err := scaffold.Find(args[0])
			if err != nil {
				return usage("new: %v", err)
			}
			file := filepath.Join(cmp.Or(to, filepath.FromSlash(row.Folder())), args[1]+".yaml")
			choice.Name = args[1]
			text, err := fillRow(row, file, system, script, choice)
			if err != nil {
				return err
			}
			if err := writeNew(file, text); err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "wrote %s\nnext: %s %s\n", file, row.Check(), file)
			return nil
		},
	}
	c.Flags().StringVar(&to, "to", "", "folder of the file (default squall/scenarios, of a game day squall/gamedays)")
	c.Flags().StringVar(&system, "system", filepath.Join(scaffold.Folder, "system.yaml"), "system file")
	c.Flags().StringVar(&script, "load", filepath.Join(scaffold.Folder, "load", "requests.js"), "load script")
	switchFlag(c, &choice.Switches)
	c.Flags().StringVar(&choice.Edge, "edge", "", "call that is broken: 'orders -> stock'")
	c.Flags().StringVar(&choice.SLO, "slo", "", "SLO that must hold")
	c.Flags().StringVar(&choice.Books, "books", "", "ledger source that operations are accounted by")
	c.Flags().StringVar(&choice.Queue, "queue", "", "ledger source with the dead letters")
	return c
}

func fillRow(row scaffold.Row, file, system, script string, choice scaffold.Choice) ([]byte, error) {
	sys, problems := loadSystem(system, choices(choice.Switches))
	if len(problems) > 0 {
		return nil, exitError{code: ExitUsage, err: problems}
	}
	dir := filepath.Dir(file)
	for to, from := range map[*string]string{&choice.System: system, &choice.Script: script, &choice.Schema: filepath.Join(filepath.Dir(system), "schema")} {
		rel, err := relative(dir, from)
		if err != nil {
			return nil, err
		}
		*to = rel
	}
	choice, err := choice.Choose(sys)
	if err != nil {
		return nil, usage("new: %v", err)
	}
	text, err := row.Fill(choice)
	if err != nil {
		return nil, usage("new: %v", err)
	}
	return text, nil
}

// relative is a path as seen from a folder, with slashes.
func relative(folder, file string) (string, error) {
	from, err := filepath.Abs(folder)
	if err != nil {
		return "", fmt.Errorf("%s: %w", folder, err)
	}
	to, err := filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	rel, err := filepath.Rel(from, to)
	if err != nil {
		return to, nil
	}
	return filepath.ToSlash(rel), nil
}

// writeNew writes a file that must not be there yet.
func writeNew(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return usage("%s: %v", file, err)
	}
	if _, err := f.Write(text); err != nil {
		f.Close()
		return fmt.Errorf("write %s: %w", file, err)
	}
	return f.Close()
}
