package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"squall/faults"
	"squall/runner/plan"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// input is one scenario, read, checked and resolved.
type input struct {
	scenario *spec.Scenario
	system   *spec.System // as it is run
	plan     *plan.Plan
	files    map[string]string // name in the run's input folder -> path
	sums     map[string]string // the same names to SHA-256, as they were read
}

// name of its runs: the scenario's, with the defects that are on.
func (in *input) name() string {
	return strings.Join(append([]string{in.scenario.Metadata.Name}, in.plan.Defects...), "+")
}

// choice is what the command line decides about the scenarios it names.
type choice struct {
	system   string
	switches []string // beside those of the scenario
	tags     []string
	seed     uint64
	defects  []string
	here     bool // it is to be run on this machine
}

// readInputs reads every scenario named, or found below a named folder, and
// returns all mistakes of all files at once.
func (a *app) readInputs(args []string, c choice) ([]*input, error) {
	files, err := scenarioFiles(args)
	if err != nil {
		return nil, err
	}
	var ins []*input
	var all spec.Problems
	names, tags := map[string]string{}, map[string]bool{}
	for _, f := range files {
		in, problems := readInput(f, c)
		if in != nil {
			for _, t := range in.scenario.Metadata.Tags {
				tags[t] = true
			}
		}
		if len(problems) > 0 && !slices.Contains(args, f) {
			if own := c.fits(f); own != nil {
				if own.tagged(c.tags) {
					fmt.Fprintf(a.Stderr, "left out: %s does not fit %s: %s\n", f, c.system, problems[0].Msg)
				}
				continue
			}
		}
		all = append(all, problems...)
		if in == nil || !in.tagged(c.tags) {
			continue
		}
		name := in.scenario.Metadata.Name
		if first, dup := names[name]; dup {
			all = append(all, spec.Problem{Pos: in.scenario.Src.At("metadata", "name"),
				Msg: fmt.Sprintf("scenario name %q is taken by %s", name, first)})
		}
		names[name] = f
		ins = append(ins, in)
	}
	if len(all) > 0 {
		all.Sort()
		return nil, exitError{code: ExitUsage, err: all}
	}
	if len(ins) == 0 && len(c.tags) == 0 {
		return nil, usage("no scenario among %d files fits %s", len(files), c.system)
	}
	if len(ins) == 0 {
		return nil, usage("no scenario with tag %s among %d files: their tags are %s",
			strings.Join(c.tags, " or "), len(files), strings.Join(slices.Sorted(maps.Keys(tags)), ", "))
	}
	return ins, nil
}

// fits reads a scenario for the system that it names itself. It is nil where that
// makes no difference: a scenario of a folder that is right by itself, and has
// only no place in the system of the command line, is no mistake.
func (c choice) fits(file string) *input {
	if c.system == "" {
		return nil
	}
	c.system, c.here = "", false
	in, problems := readInput(file, c)
	if len(problems) > 0 {
		return nil
	}
	return in
}

func (in *input) tagged(tags []string) bool {
	return len(tags) == 0 || slices.ContainsFunc(tags, func(t string) bool {
		return slices.Contains(in.scenario.Metadata.Tags, t)
	})
}

// scenarioFiles expands folders. Folders below a named one that hold other
// things, and regress/ with its scenarios that must fail, are not entered.
func scenarioFiles(args []string) ([]string, error) {
	if len(args) == 0 {
		args = []string{"scenarios"}
	}
	var files []string
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil {
			return nil, usage("scenario: %v", err)
		}
		if !info.IsDir() {
			files = append(files, filepath.Clean(arg))
			continue
		}
		found, err := scenariosBelow(arg)
		if err != nil {
			return nil, usage("scenarios: %v", err)
		}
		if len(found) == 0 {
			return nil, usage("no *.yaml scenario below %s", arg)
		}
		files = append(files, found...)
	}
	return files, nil
}

func scenariosBelow(root string) ([]string, error) {
	var files []string
	root = filepath.Clean(root) + string(filepath.Separator) // also where it is a link
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != root {
			switch d.Name() {
			case "gamedays", "load", "regress", "spec", "systems", "testdata":
				return filepath.SkipDir
			}
		}
		if !d.IsDir() && strings.HasSuffix(p, ".yaml") {
			files = append(files, p)
		}
		return nil
	})
	return files, err
}

func readInput(file string, c choice) (*input, spec.Problems) {
	sc, problems := spec.Load(file)
	if sc == nil {
		return nil, problems
	}
	script := scriptOf(sc)
	if script != "" {
		problems = append(problems, fileMissing(sc.Src.At("spec", "load", "script"), "script", script)...)
	}
	systemFile, more := systemOf(file, c.system, sc.Spec.System, sc.Src)
	if problems = append(problems, more...); systemFile == "" {
		return nil, problems
	}
	sys, more := loadSystem(systemFile, append(slices.Clone(sc.Spec.Switches), choices(c.switches)...))
	problems = append(problems, more...)
	if sys == nil {
		return nil, problems
	}
	in := &input{scenario: sc, system: sys, files: inputFiles(file, systemFile, script, sys)}
	sums, problems := checksums(file, in.files, problems)
	in.plan, more = plan.Compile(sc, sys, plan.Options{
		Seed: c.seed, Defects: c.defects, Registry: faults.Builtin(), Inputs: sums, Here: c.here,
	})
	problems = append(problems, more...)
	problems = append(problems, unused(sc, sys)...)
	return in, append(problems, verdict.Check(sc, sys)...)
}

// unused is the mistake of leaving load out where squall starts the system: it
// has no customers yet.
func unused(sc *spec.Scenario, sys *spec.System) spec.Problems {
	if !sys.Started() || !sc.Src.Get("spec", "load").IsZero() {
		return nil
	}
	return spec.Problems{{Pos: sc.Src.At("spec"), Msg: fmt.Sprintf("missing required field \"load\" in spec: squall starts target %s itself, so nobody else uses it", sys.Spec.Target)}}
}

// systemOf is the system file of a file: what the command line chose, or what the
// file names. One that is not there is taken for the file that it is a slip of, so
// that other mistakes show as well; empty: nothing can be said without a system.
func systemOf(file, chosen, named string, src spec.Node) (string, spec.Problems) {
	if chosen != "" || named == "" { // decoding has told
		return chosen, nil
	}
	path := beside(file, named)
	missing := fileMissing(src.At("spec", "system"), "system", path)
	switch {
	case missing == nil:
		return path, nil
	case missing[0].Suggest == "":
		return "", missing
	}
	return filepath.Join(filepath.Dir(path), missing[0].Suggest), missing
}

// fileMissing is the mistake of naming a file that cannot be read; file is its
// path from here. A name that is but a slip of another file's is told.
func fileMissing(at spec.Pos, key, file string) spec.Problems {
	info, err := os.Stat(file)
	if err == nil && !info.IsDir() {
		return nil
	}
	why := "it is a folder"
	if err != nil {
		why = "no such file"
		if !errors.Is(err, fs.ErrNotExist) {
			why = err.Error()
		}
	}
	var near []string
	entries, _ := os.ReadDir(filepath.Dir(file))
	for _, e := range entries {
		near = append(near, e.Name())
	}
	return spec.Problems{{Pos: at, Msg: fmt.Sprintf("%s: cannot read %s: %s", key, file, why), Suggest: spec.Suggest(filepath.Base(file), near)}}
}

// loadSystem reads a system file and makes the system that is run of it. With
// problems it may be nil, or fit for finding more.
func loadSystem(file string, switches []spec.Choice) (*spec.System, spec.Problems) {
	declared, problems := spec.LoadSystem(file)
	if declared == nil {
		return nil, problems
	}
	sys, more := declared.With(switches...)
	return sys, append(problems, more...).Unique()
}

func choices(switches []string) []spec.Choice {
	out := make([]spec.Choice, len(switches))
	for i, name := range switches {
		out[i].Name = name
	}
	return out
}

// judge is a fresh one: a judge follows one run.
func (in *input) judge() *verdict.Judge {
	j, _ := verdict.NewJudge(in.scenario, in.system) // without problems, or it would not have been read
	return j
}

// scriptOf is the path of a scenario's load script; empty where it has no load.
func scriptOf(sc *spec.Scenario) string {
	if !sc.Spec.Load.Given() {
		return ""
	}
	return beside(sc.File, sc.Spec.Load.Script)
}

// inputFiles names every file that decides a run, as its run directory keeps it:
// the same folders relative to each other, so that the copies still find one another.
// The script is empty where there is no load.
func inputFiles(scenario, system, script string, sys *spec.System) map[string]string {
	files := map[string]string{}
	for _, f := range slices.Concat([]string{scenario, system, script}, sys.SLOFiles, sys.AlertFiles) {
		if f == "" {
			continue
		}
		abs, err := filepath.Abs(f)
		if err != nil {
			abs = f
		}
		files[abs] = f
	}
	return relativeNames(files)
}

// relativeNames names files by their path below the longest folder common to all.
func relativeNames(files map[string]string) map[string]string {
	common := ""
	for abs := range files {
		if common == "" {
			common = filepath.Dir(abs)
		}
		for !within(common, abs) {
			common = filepath.Dir(common)
		}
	}
	out := map[string]string{}
	for abs, f := range files {
		if rel, err := filepath.Rel(common, abs); err == nil {
			out[filepath.ToSlash(rel)] = f
		}
	}
	return out
}

func within(parent, dir string) bool {
	rel, err := filepath.Rel(parent, dir)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// checksums are those of the inputs of a file. One that cannot be read is a
// problem, unless there are some already, which say why.
func checksums(file string, inputs map[string]string, problems spec.Problems) (map[string]string, spec.Problems) {
	sums := map[string]string{}
	for name, f := range inputs {
		data, err := os.ReadFile(f)
		if err == nil {
			sums[name] = checksum(data)
		} else if len(problems) == 0 {
			problems = append(problems, spec.Problem{Pos: spec.Pos{File: file, Line: 1, Col: 1}, Msg: err.Error()})
		}
	}
	return sums, problems
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// beside resolves a path that a file names relative to itself.
func beside(file, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(file), name)
}

// keep copies the inputs into the run directory, so that it can be judged
// anywhere. What runs is what was planned, or nothing.
func (in *input) keep(runDir string) error {
	root := filepath.Join(runDir, "input")
	for name, from := range in.files {
		data, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("keep input: %w", err)
		}
		if checksum(data) != in.plan.Inputs[name] {
			return fmt.Errorf("keep input: %s has changed since the run was planned", from)
		}
		to := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("keep input: %w", err)
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return fmt.Errorf("keep input: %w", err)
		}
	}
	return nil
}

// kept is the name of an input among the kept files.
func (in *input) kept(file string) string {
	for name, f := range in.files {
		if f == file {
			return name
		}
	}
	return filepath.Base(file)
}

// script is the path of the load script as the user has it.
func (in *input) script() string { return scriptOf(in.scenario) }
