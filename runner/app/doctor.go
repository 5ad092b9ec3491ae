package app

import (
	"fmt"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"squall/faults"
	"squall/runner/inject"
	"squall/runner/targets/process"
)

// finding of the doctor: what was looked at, whether it serves, and what to do.
type diagnosis struct {
	what  string
	ok    bool
	spare bool // squall does without, as far as it is not asked for
	says  string
}

// mark heads the line of a finding.
func (d diagnosis) mark() string {
	switch {
	case d.ok:
		return "ok"
	case d.spare:
		return "LACK"
	}
	return "MISS"
}

func (a *app) doctorCmd() *cobra.Command {
	var system string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this machine lacks, what earlier runs left, and whether a system can be reached",
		RunE: func(c *cobra.Command, _ []string) error {
			sick := false
			found := a.diagnose()
			if system != "" {
				of, err := a.diagnoseFile(c.Context(), system)
				if err != nil {
					return err
				}
				found = append(found, of...)
			}
			for _, d := range found {
				sick = sick || !d.ok && !d.spare
				a.printDiagnosis(d)
			}
			if sick {
				return exitError{code: ExitError}
			}
			return nil
		},
	}
	c.Flags().StringVar(&system, "system", "", "system file: also look at its edges, credentials, clocks and permissions, changing nothing")
	return c
}

func (a *app) printDiagnosis(d diagnosis) {
	if a.output == "json" {
		writeJSONLine(a.Stdout, map[string]any{"what": d.what, "ok": d.ok, "needed": !d.spare, "says": d.says})
		return
	}
	fmt.Fprintf(a.Stdout, "%-4s  %-14s %s\n", d.mark(), d.what, d.says)
}

func (a *app) diagnose() []diagnosis {
	return append([]diagnosis{
		a.diagnoseSystem(), a.diagnoseK6(), a.diagnoseState(), a.diagnoseLeftovers(),
	}, diagnoseFaults(faults.Builtin())...)
}

// diagnoseFaults tells of the kinds of fault that not every machine can do.
func diagnoseFaults(kinds faults.Registry) (found []diagnosis) {
	for _, name := range kinds.Names() {
		if kinds[name].Missing == nil {
			continue
		}
		d := diagnosis{what: name, ok: true, spare: true, says: "can be injected here"}
		if why := kinds[name].Missing(); why != "" {
			d.ok, d.says = false, "cannot be injected here: "+why
		}
		found = append(found, d)
	}
	return found
}

func (a *app) diagnoseSystem() diagnosis {
	d := diagnosis{what: "system", ok: runtime.GOOS == "linux", says: fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())}
	if !d.ok {
		d.says += ": the process target needs Linux (parent-death signals)"
	}
	return d
}

func (a *app) diagnoseK6() diagnosis {
	k6, err := a.findK6("")
	if err != nil {
		return diagnosis{what: "k6", says: err.Error()}
	}
	out, err := exec.Command(k6, "version").Output()
	if err != nil {
		return diagnosis{what: "k6", says: fmt.Sprintf("%s does not run: %v", k6, err)}
	}
	first, _, _ := strings.Cut(string(out), "\n")
	return diagnosis{what: "k6", ok: true, says: first}
}

func (a *app) diagnoseState() diagnosis {
	dir := a.stateDir()
	if err := process.MakeStateDir(dir); err != nil {
		return diagnosis{what: "state folder", says: err.Error()}
	}
	return diagnosis{what: "state folder", ok: true, says: dir}
}

func (a *app) diagnoseLeftovers() diagnosis {
	dead, err := inject.DeadRuns(a.stateDir())
	for _, run := range dead {
		defer run.Release()
	}
	if err != nil {
		return diagnosis{what: "leftovers", says: err.Error()}
	}
	envs, err := process.List(a.stateDir())
	if err != nil {
		return diagnosis{what: "leftovers", says: err.Error()}
	}
	d := diagnosis{what: "leftovers", ok: len(dead) == 0, says: fmt.Sprintf("%d dead runs, %d systems running", len(dead), len(envs))}
	if !d.ok {
		d.says += ": squall heal"
	}
	return d
}

// versions names what a run was made with.
func versions() map[string]string {
	v := map[string]string{"go": runtime.Version(), "os": runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		v["squall"] = info.Main.Version
		for _, m := range info.Deps {
			if m.Path == "github.com/prometheus/prometheus" {
				v[m.Path] = m.Version
			}
		}
	}
	return v
}
