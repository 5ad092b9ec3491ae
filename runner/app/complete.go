package app

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"squall/runner/record"
	"squall/runner/scaffold"
	"squall/scenarios/spec"
)

// completer says what may stand in the place of a word that is being typed.
type completer = cobra.CompletionFunc

// complete gives every command what its arguments, and every flag what its values
// may be.
func complete(root *cobra.Command) {
	run := paths(isRun)
	scenarios, systems := paths(holds("kind: Scenario")), paths(holds("kind: System"))
	arguments := map[string][]completer{ // the last one goes on
		"squall run": {scenarios}, "squall validate": {scenarios}, "squall lint": {scenarios}, "squall plan": {scenarios}, "squall prove": {scenarios},
		"squall judge": {run, nil}, "squall report": {run, nil}, "squall compare": {run},
		"squall export": {oneOf("prometheus", "otlp", "csv"), run, nil}, "squall up": {systems, nil},
		"squall new": {templates, nil}, "squall explain": {explained, nil},
		"squall schema":       {oneOf("scenario", "system", "gameday", "verdict"), nil},
		"squall gameday plan": {paths(holds("kind: GameDay")), nil},
		"squall gameday run":  {paths(holds(`"deadline"`)), nil}, "squall gameday approve": {paths(holds(`"deadline"`)), nil},
		"squall gameday verify": {run, nil}, "squall gameday report": {run, nil}, "squall gameday replay": {run, nil},
	}
	flags := map[string]completer{
		"system": systems, "scenario": scenarios, "day": run,
		"tag": listed(tags), "defect": listed(ofSystem(defects)), "switch": listed(ofSystem(switches)),
		"slo": single(ofSystem(slos)), "books": single(ofSystem(books)), "queue": single(ofSystem(books)),
		"output": oneOf("auto", "tty", "plain", "json"), "format": oneOf("html", "markdown", "junit", "junit-strict", "text"),
		"ci": oneOf(slices.Sorted(maps.Keys(scaffold.CI))...),
	}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if places := arguments[c.CommandPath()]; places != nil {
			c.ValidArgsFunction = inOrder(places)
		}
		for name, values := range flags {
			if c.Flags().Lookup(name) != nil {
				_ = c.RegisterFlagCompletionFunc(name, values) // the flag is there
			}
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	_ = root.RegisterFlagCompletionFunc("output", flags["output"])
}

// inOrder completes the first argument by the first completer and so on.
func inOrder(places []completer) completer {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		place := places[min(len(args), len(places)-1)]
		if place == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return place(c, args, typed)
	}
}

func oneOf(words ...string) completer {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// listed completes the last item of a list with commas.
func listed(items func(c *cobra.Command, args []string) []string) completer {
	return func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		out := items(c, args)
		for i := range out {
			out[i] = before + out[i]
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// single completes one of some names.
func single(names func(c *cobra.Command, args []string) []string) completer {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names(c, args), cobra.ShellCompDirectiveNoFileComp
	}
}

// paths completes files and folders that fit, by way of any folder.
func paths(fits func(path string) bool) completer {
	return func(_ *cobra.Command, _ []string, typed string) (out []string, _ cobra.ShellCompDirective) {
		folder, start := filepath.Split(typed)
		found, _ := os.ReadDir(cmp.Or(folder, "."))
		ways := 0
		for _, f := range found {
			path := folder + f.Name()
			if !strings.HasPrefix(f.Name(), start) || start == "" && strings.HasPrefix(f.Name(), ".") {
				continue
			}
			info, err := os.Stat(path)
			switch {
			case fits(path):
				out = append(out, path)
			case err == nil && info.IsDir():
				out = append(out, path+"/")
				ways++
			}
		}
		if ways == len(out) {
			return out, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace // one types on
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

func isRun(path string) bool {
	_, err := os.Stat(filepath.Join(path, string(record.Main)+".ndjson"))
	return err == nil
}

// holds looks for a word in a file that may be one of ours.
func holds(word string) func(path string) bool {
	return func(path string) bool {
		if ext := filepath.Ext(path); ext != ".yaml" && ext != ".yml" && ext != ".json" {
			return false
		}
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), word)
	}
}

func templates(*cobra.Command, []string, string) (out []string, _ cobra.ShellCompDirective) {
	for _, r := range scaffold.Rows() {
		out = append(out, r.Name+"\t"+r.Title)
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func explained(*cobra.Command, []string, string) (out []string, _ cobra.ShellCompDirective) {
	for _, s := range subjects() {
		out = append(out, s.name+"\t"+s.summary)
	}
	return append(out, "all\teverything, as one page"), cobra.ShellCompDirectiveNoFileComp
}

// chosen are the scenarios that a command line names so far.
func chosen(args []string) (out []*spec.Scenario) {
	files, _ := scenarioFiles(args)
	for _, file := range files {
		if sc, _ := spec.Load(file); sc != nil {
			out = append(out, sc)
		}
	}
	return out
}

func tags(_ *cobra.Command, args []string) []string {
	all := map[string]bool{}
	for _, sc := range chosen(args) {
		for _, tag := range sc.Metadata.Tags {
			all[tag] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// ofSystem completes names of the system that --system says, or that the scenarios
// of the command line run on.
func ofSystem(names func(*spec.System) []string) func(c *cobra.Command, args []string) []string {
	return func(c *cobra.Command, args []string) []string {
		files := map[string]bool{}
		if flag := c.Flags().Lookup("system"); flag != nil && flag.Value.String() != "" {
			files[flag.Value.String()] = true
		} else {
			for _, sc := range chosen(args) {
				files[beside(sc.File, sc.Spec.System)] = true
			}
		}
		all := map[string]bool{}
		for file := range files {
			if sys, _ := spec.LoadSystem(file); sys != nil {
				for _, name := range names(sys) {
					all[name] = true
				}
			}
		}
		return slices.Sorted(maps.Keys(all))
	}
}

func slos(s *spec.System) []string { return slices.Collect(maps.Keys(s.SLOs)) }

func books(s *spec.System) []string { return slices.Collect(maps.Keys(s.Spec.Ledger)) }

func switches(s *spec.System) []string { return slices.Collect(maps.Keys(s.Spec.Switches)) }

func defects(s *spec.System) []string {
	if s.Spec.Defects == nil {
		return nil
	}
	return slices.Collect(maps.Keys(s.Spec.Defects.Known))
}
