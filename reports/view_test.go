package reports

import (
	"strings"
	"testing"
	"time"

	xansi "github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// until is the run as it was at an instant.
func until(run *record.Run, t time.Duration) *record.Run {
	out := *run
	out.End, out.Phases, out.Faults, out.Processes, out.Operations = nil, nil, nil, nil, nil
	for _, p := range run.Phases {
		if p.From <= t {
			if p.Open = p.To > t; p.Open {
				p.To = t
			}
			out.Phases = append(out.Phases, p)
		}
	}
	for _, f := range run.Faults {
		if f.T <= t {
			out.Faults = append(out.Faults, f)
		}
	}
	for _, p := range run.Processes {
		if p.T <= t {
			out.Processes = append(out.Processes, p)
		}
	}
	for _, op := range run.Operations {
		if run.T(op.At+op.Dur) <= t {
			out.Operations = append(out.Operations, op)
		}
	}
	return &out
}

func TestViewTellsHowItGoes(t *testing.T) {
	phases := spec.Phases{Baseline: spec.Duration(6 * time.Second), Fault: spec.Duration(10 * time.Second), Recovery: spec.Duration(8 * time.Second)}
	run := plot.run(t)
	golden(t, "view-fault.txt", View(until(run, 11*time.Second), phases, 11*time.Second, 110, false)+"\n")
	golden(t, "view-recovery.txt", View(until(run, 25*time.Second), phases, 25*time.Second, 110, false)+"\n")
	assert.Contains(t, View(&record.Run{}, phases, 0, 80, false), "starting the system")
}

func TestViewFitsAndSteersNothing(t *testing.T) {
	s := plot
	s.name = hostile
	run := until(s.run(t), 12*time.Second)
	for _, width := range []int{0, 40, 80, 200} {
		text := View(run, spec.Phases{}, 12*time.Second, width, false)
		noControl(t, text)
		for _, line := range strings.Split(text, "\n") {
			assert.Less(t, xansi.StringWidth(line), max(width, 20))
		}
		assert.LessOrEqual(t, strings.Count(text, "\n"), 2+viewFaults+viewProcesses)
	}
	coloured := View(run, spec.Phases{}, 12*time.Second, 200, true)
	require.Contains(t, coloured, "\x1b[")
	assert.Equal(t, View(run, spec.Phases{}, 12*time.Second, 200, false), xansi.Strip(coloured))
}
