package verdict

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

func init() {
	builtin(Kind{
		Name:    "command",
		Summary: "A program says that all is well.",
		Doc: `The runner starts the program once in the phase, or again and again, and keeps exit code and output. It is all well if the exit
code is the one wanted and the output has the text wanted; a program that had to be killed says nothing good. To do something to the
system, such as a replay, use spec.steps. Too little evidence: it was never run, as where its phase ended before its time.`,
		Params:     commandCheck{},
		Bounds:     BoundsOptional,
		MinSamples: 1,
		New:        newCommand,
	})
}

type commandCheck struct {
	spec.CommandAct `yaml:",inline"`
	At              spec.Duration `yaml:"at" doc:"Delay after the phase's start, where it runs once."`
	Every           spec.Duration `yaml:"every" doc:"Distance of two runs; absent: it runs once."`
	Exit            int           `yaml:"exit" doc:"Exit code wanted."`
	Contains        string        `yaml:"contains" doc:"Text that the output has."`

	bounds bounds
}

func newCommand(d *Declared) Checker {
	c := &commandCheck{}
	d.decode(c)
	c.bounds = shareOf(d.Check)
	refuse(d, spec.Act{Command: &c.CommandAct}.Mistakes(d.System))
	if c.At > 0 && c.Every > 0 {
		d.fail("at", "at: a program that runs again and again has no one instant", "")
	}
	tooLate(d, c.At)
	return c
}

func (c *commandCheck) look() Look {
	return Look{At: time.Duration(c.At), Every: time.Duration(c.Every), Act: spec.Act{Command: &c.CommandAct}}
}

func (c *commandCheck) Judge(_ context.Context, v *View, f *Finding) {
	f.Expected = "have exit code " + strconv.Itoa(c.Exit)
	if c.Contains != "" {
		f.Expected += fmt.Sprintf(", %q", c.Contains)
	}
	judgeLooks(v, f, 0, c.bounds, c.flaw)
}

func (c *commandCheck) flaw(p record.Probe) string {
	switch {
	case !p.OK:
		return noAnswer(p)
	case int(p.Value) != c.Exit:
		return fmt.Sprintf("exit code %g: %s", p.Value, brief(p.Text))
	case !strings.Contains(p.Text, c.Contains):
		return fmt.Sprintf("the output lacks %q: %s", c.Contains, brief(p.Text))
	}
	return ""
}
