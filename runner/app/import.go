package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"squall/runner/importer"
	"squall/runner/scaffold"
)

func (a *app) importCmd() *cobra.Command {
	var to, system, script, slo string
	var edges []string
	chaostoolkit := &cobra.Command{
		Use:   "chaostoolkit FILE",
		Short: "Turn a Chaos Toolkit experiment (JSON or YAML) into a scenario, and say what could not be carried over",
		Args:  usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			name := systemName(strings.TrimSuffix(filepath.Base(args[0]), filepath.Ext(args[0])))
			file := filepath.Join(to, name+".yaml")
			o := importer.Options{Name: name, SLO: slo, Edges: map[string]string{}}
			for _, e := range edges {
				proxy, edge, found := strings.Cut(e, "=")
				if !found {
					return usage("--edge %q: write PROXY=CALLER -> CALLEE", e)
				}
				o.Edges[proxy] = edge
			}
			return a.importChaosToolkit(args[0], file, system, script, o)
		},
	}
	f := chaostoolkit.Flags()
	f.StringVar(&to, "to", filepath.Join(scaffold.Folder, "scenarios"), "folder of the scenario")
	f.StringVar(&system, "system", filepath.Join(scaffold.Folder, "system.yaml"), "system file")
	f.StringVar(&script, "load", filepath.Join(scaffold.Folder, "load", "requests.js"), "load script; empty: the experiment's own")
	f.StringVar(&slo, "slo", "", "SLO of the steady state; the system's first if absent")
	f.StringArrayVar(&edges, "edge", nil, "where a proxy of the experiment stands: PROXY=CALLER -> CALLEE")
	c := &cobra.Command{Use: "import", Short: "Turn experiments of other tools into scenarios", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(chaostoolkit)
	return c
}

func (a *app) importChaosToolkit(from, file, system, script string, o importer.Options) error {
	src, err := os.ReadFile(from)
	if err != nil {
		return usage("import: %v", err)
	}
	sys, problems := loadSystem(system, nil)
	if len(problems) > 0 {
		return exitError{code: ExitUsage, err: problems}
	}
	o.System = sys
	dir := filepath.Dir(file)
	for to, path := range map[*string]string{&o.SystemFile: system, &o.Script: script, &o.Schema: filepath.Join(filepath.Dir(system), "schema", "scenario.json")} {
		if path == "" {
			continue
		}
		if *to, err = relative(dir, path); err != nil {
			return err
		}
	}
	result, err := importer.ChaosToolkit(src, o)
	if err != nil {
		return usage("import %s: %v", from, err)
	}
	if err := writeNew(file, result.Scenario); err != nil {
		return err
	}
	fmt.Fprintf(a.Stdout, "wrote %s\n", file)
	for _, lost := range result.Lost {
		fmt.Fprintf(a.Stdout, "not carried over: %s\n", lost)
	}
	fmt.Fprintf(a.Stdout, "next: squall lint %s\n", file)
	return nil
}
