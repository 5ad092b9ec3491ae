package scaffold

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"squall/scenarios/spec"
)

//go:embed ci
var ciFiles embed.FS

// CI are the pipelines that a project can have, and the file that each reads.
var CI = map[string]string{
	"github":  ".github/workflows/squall.yml",
	"gitlab":  ".gitlab-ci.yml",
	"jenkins": "Jenkinsfile",
	"none":    "",
}

var ciSources = map[string]string{"github": "ci/github-actions.yml", "gitlab": "ci/gitlab-ci.yml", "jenkins": "ci/Jenkinsfile"}

// Folder is where a project keeps what is squall's, in the user's repository.
const Folder = "squall"

// Project is what init is told of a system.
type Project struct {
	Name     string
	Services []Service
	Calls    []Call
	Compose  []string          // compose files, relative to the folder of the project; empty: local processes
	CI       string            // key of CI
	Schemas  map[string][]byte // scenario.json, system.json, gameday.json
}

// Service is a service and how it is started.
type Service struct {
	Name    string
	Command []string
	Env     map[string]string
	Ready   string // path that answers 2xx once it is ready; empty: not asked

	At map[string]string // of a compose project, instead of the command: its ports by name, inside the container
}

// Call is an edge: who calls whom, and how the caller learns where.
type Call struct {
	Caller, Callee string
	Env            string // empty: the caller has a fixed host name for it
	Protocol       string
	Port           string // of the callee; empty: http
	Why            string // how it was found out, where it was guessed
}

// AddService adds NAME=[VARIABLE=VALUE]... PROGRAM [ARGUMENT]...
func (p *Project) AddService(text string) error {
	name, command, found := strings.Cut(text, "=")
	words := strings.Fields(command)
	s := Service{Name: strings.TrimSpace(name), Env: map[string]string{}}
	for len(words) > 0 && isAssignment(words[0]) {
		key, value, _ := strings.Cut(words[0], "=")
		s.Env[key] = value
		words = words[1:]
	}
	s.Command = words
	switch {
	case !found || s.Name == "" || len(words) == 0:
		return fmt.Errorf("service %q: write NAME=PROGRAM ARGUMENTS, such as web=./web --listen ${self.http}", text)
	case !spec.IsName(s.Name) || s.Name == spec.Client:
		return fmt.Errorf("service %q: want a name of lower-case letters, digits and dashes, other than client, which is the load", s.Name)
	case slices.Contains(p.names(), s.Name):
		return fmt.Errorf("service %q is there already", s.Name)
	case !s.listens():
		return fmt.Errorf("service %q: nothing tells it where to listen: write ${self.http} where its address goes, such as %s=%s --listen ${self.http}", s.Name, s.Name, words[0])
	}
	p.Services = append(p.Services, s)
	return nil
}

// names are those of the services.
func (p *Project) names() (out []string) {
	for _, s := range p.Services {
		out = append(out, s.Name)
	}
	return out
}

// listens reports whether a service is told its address.
func (s Service) listens() bool {
	told := slices.Concat(s.Command, slices.Collect(maps.Values(s.Env)))
	return slices.ContainsFunc(told, func(text string) bool { return strings.Contains(text, "${self.") })
}

// isAssignment reports whether a word sets a variable, as before a shell's command.
func isAssignment(word string) bool {
	key, _, found := strings.Cut(word, "=")
	return found && key != "" && strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}

// AddCall adds CALLER -> CALLEE=VARIABLE[:PROTOCOL] of services that are there.
func (p *Project) AddCall(text string) error {
	edge, env, found := strings.Cut(text, "=")
	caller, callee, err := spec.SplitEdge(edge)
	env, protocol, _ := strings.Cut(strings.TrimSpace(env), ":")
	if err != nil || !found || env == "" {
		return fmt.Errorf("call %q: write CALLER -> CALLEE=VARIABLE, such as client -> web=WEB_URL", text)
	}
	for _, end := range []string{caller, callee} {
		if end == spec.Client && end != callee || slices.Contains(p.names(), end) {
			continue
		}
		hint := ""
		if near := spec.Suggest(end, p.names()); near != "" {
			hint = fmt.Sprintf(" (did you mean %q?)", near)
		}
		return fmt.Errorf("call %q: there is no service %q%s", text, end, hint)
	}
	p.Calls = append(p.Calls, Call{Caller: caller, Callee: callee, Env: env, Protocol: cmp.Or(protocol, "http")})
	return nil
}

// SetReady sets the path that every service answers once it is ready.
func (p *Project) SetReady(path string) error {
	if path != "" && !strings.HasPrefix(path, "/") {
		return fmt.Errorf("ready %q: want a path, such as /ready", path)
	}
	for i := range p.Services {
		p.Services[i].Ready = path
	}
	return nil
}

// Lacks says what a project cannot do without; empty: it has all.
func (p *Project) Lacks() string {
	switch {
	case len(p.Services) == 0:
		return "a service, such as web=./web --listen ${self.http}"
	case p.entry().Callee == "":
		return "a call that says where the load goes, such as client -> web=WEB_URL"
	}
	return ""
}

// Write writes the project below a folder. Files that are there already stay as
// they are. Both lists are relative to the folder, in the order of writing.
func (p Project) Write(folder string) (written, kept []string, err error) {
	put := func(name string, text []byte) error {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if _, err := os.Lstat(file); err == nil {
			kept = append(kept, name)
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("init: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("init: %w", err)
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("init: %w", err)
		}
		written = append(written, name)
		return nil
	}
	if lacks := p.Lacks(); lacks != "" {
		return nil, nil, errors.New("init: it lacks " + lacks)
	}
	system := p.system()
	if _, problems := spec.ParseSystem(path.Join(Folder, "system.yaml"), system); len(problems) > 0 {
		return nil, nil, problems // before anything is written
	}
	if err := put(Folder+"/system.yaml", system); err != nil {
		return written, kept, err
	}
	entry := p.entry()
	script, err := fill(scriptText, entry)
	if err != nil {
		return written, kept, err
	}
	files := map[string][]byte{
		Folder + "/slo/requests.yaml": []byte(sloText),
		Folder + "/load/requests.js":  script,
		".vscode/settings.json":       []byte(settingsText),
	}
	for name, text := range p.Schemas {
		files[Folder+"/schema/"+name] = text
	}
	if source := ciSources[p.CI]; source != "" {
		if files[CI[p.CI]], err = ciFiles.ReadFile(source); err != nil {
			return written, kept, fmt.Errorf("init: %w", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := put(name, files[name]); err != nil {
			return written, kept, err
		}
	}
	first, err := p.first(folder)
	if err == nil {
		err = put(Folder+"/scenarios/first.yaml", first)
	}
	return written, kept, err
}

// entry is the call that the load makes.
func (p Project) entry() Call {
	for _, c := range p.Calls {
		if c.Caller == spec.Client && c.Protocol == "http" {
			return c
		}
	}
	return Call{}
}

// first is the first scenario: a dependency hangs.
func (p Project) first(folder string) ([]byte, error) {
	file := filepath.Join(folder, Folder, "system.yaml")
	declared, problems := spec.LoadSystem(file)
	if len(problems) > 0 {
		return nil, problems
	}
	sys, problems := declared.With()
	if len(problems) > 0 {
		return nil, problems
	}
	c, err := Choice{Name: "first", System: "../system.yaml", Script: "../load/requests.js", Schema: "../schema"}.Choose(sys)
	if err != nil {
		return nil, err
	}
	r, err := Find("timeout")
	if err != nil {
		return nil, err
	}
	return r.Fill(c)
}

// system is the text of the system file. Names, commands and variables are what
// the user typed, so they are quoted as YAML wants it.
func (p Project) system() []byte {
	var b strings.Builder
	if len(p.Compose) > 0 {
		p.composed(&b)
	} else {
		p.processes(&b)
	}
	b.WriteString(edgesHead)
	for _, c := range p.Calls {
		if c.Why != "" {
			fmt.Fprintf(&b, "    # %s\n", c.Why)
		}
		fmt.Fprintf(&b, "    %s -> %s: %s\n", c.Caller, c.Callee, c.inline())
	}
	b.WriteString("\n  slos: [slo]\n")
	return []byte(b.String())
}

func (c Call) inline() string {
	text := "{protocol: " + c.Protocol
	if c.Env != "" {
		text += ", env: " + c.Env
	}
	if c.Port != "" {
		text += ", port: " + c.Port
	}
	return text + "}"
}

// composed are the services of a compose project.
func (p Project) composed(b *strings.Builder) {
	files := make([]string, len(p.Compose))
	for i, f := range p.Compose {
		files[i] = beside("./" + f)
	}
	fmt.Fprintf(b, composeHead, inline(p.Name), inline(files))
	for _, s := range p.Services {
		fmt.Fprintf(b, "    %s:", s.Name)
		if len(s.At) == 0 {
			b.WriteString(" {}\n")
			continue
		}
		fmt.Fprintf(b, "\n      at: %s\n      port: %s\n", inline(s.At), sorted(s.At)[0])
		if s.Ready != "" {
			fmt.Fprintf(b, "      ready: {http: %s, within: 60s}\n", inline(s.Ready))
		}
	}
}

// processes are services that squall starts itself.
func (p Project) processes(b *strings.Builder) {
	fmt.Fprintf(b, systemHead, inline(p.Name))
	for _, s := range p.Services {
		s.Command = append([]string{beside(s.Command[0])}, s.Command[1:]...)
		fmt.Fprintf(b, "    %s:\n      command: %s\n      ports: [http]\n", s.Name, inline(s.Command))
		if len(s.Env) > 0 {
			fmt.Fprintf(b, "      env: %s\n", inline(s.Env))
		}
		if s.Ready != "" {
			fmt.Fprintf(b, "      ready: {http: %s}\n", inline(s.Ready))
		}
	}
}

// beside is a program as the system file names it, which is in a folder of its
// own: the user named it from here.
func beside(program string) string {
	if !strings.Contains(program, "/") || path.IsAbs(program) {
		return program
	}
	return path.Join("..", program)
}

// inline is a value on one line of YAML.
func inline(v any) string {
	node := new(yaml.Node)
	if err := node.Encode(v); err != nil {
		panic(fmt.Sprintf("scaffold: %v", err)) // text, lists and maps of text always encode
	}
	node.Style |= yaml.FlowStyle
	out, err := yaml.Dump(node, yaml.WithLineWidth(-1))
	if err != nil {
		panic(fmt.Sprintf("scaffold: %v", err))
	}
	return strings.TrimSpace(string(out))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
