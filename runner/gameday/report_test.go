package gameday

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/scenarios/spec"
)

const reportDay = `apiVersion: squall/v1
kind: GameDay
metadata: {name: d, title: A day}
spec:
  objectives: [Do we notice?]
  system: system.yaml
  roles: {lead: Ana}
  steady: [{id: up, promql: min(up), atLeast: 1}]
  guardrails: [{id: down, promql: min(up), below: 1, for: 1s}]
  playbooks:
    - {id: p, title: Down, signals: [{id: none-up, promql: sum(up), below: 1, for: 1s}], steps: [Look., Call.]}
  steps:
    - {id: away, fault: {kind: proc-kill, on: back}, for: 30s, until: person, playbook: p}
    - {id: sub, scenario: s.yaml}
`

// wellRun is a record of reportDay in which all is as it should be.
func wellRun() *record.Run {
	at := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
	fault := func(t float64, state record.FaultState) record.FaultEvent {
		return record.FaultEvent{T: at(t), Fault: record.Fault{ID: "away", Kind: "proc-kill", On: "back", State: state, Receipt: &record.Receipt{Hits: 2, Unit: "processes"}}}
	}
	step := func(t float64, id, does string, state record.StepState, text string) record.StepEvent {
		return record.StepEvent{T: at(t), Step: record.Step{ID: id, Does: does, State: state, Text: text}}
	}
	mark := func(t float64, m record.Mark) record.MarkEvent { return record.MarkEvent{T: at(t), Mark: m} }
	return &record.Run{
		Header: record.Header{Scenario: "d", Title: "A day", PlanHash: "hash"},
		Steps: []record.StepEvent{
			step(10, "away", "fault", record.StepBegun, ""), step(30, "away", "", record.StepDone, "ended by a person"),
			step(31, "sub", "scenario", record.StepBegun, ""), step(50, "sub", "", record.StepDone, "pass: all is well (steps/sub)"),
		},
		Faults: []record.FaultEvent{fault(10, record.FaultInjected), fault(10.5, record.FaultBiting), fault(30, record.FaultGone)},
		Marks: []record.MarkEvent{
			mark(1, record.Mark{What: "approved", Author: "ana"}),
			mark(12, record.Mark{What: "signal", Step: "away", On: "none-up", Text: "0"}),
			mark(15, record.Mark{What: Detected, Author: "ben", Step: "away", Text: "it is red"}),
			mark(16, record.Mark{What: Detected, Author: "cleo", Step: "away"}),
			mark(18, record.Mark{What: Acknowledged, Author: "ben", Step: "away"}),
			mark(20, record.Mark{What: Did, Author: "ben", Step: "away", On: "p", N: 2, Text: "Call."}),
			mark(21, record.Mark{What: Action, Author: "ana", Text: "page <somebody>"}),
			mark(29, record.Mark{What: Mitigated, Author: "ben", Step: "away"}),
		},
		Notes: []record.NoteEvent{{T: at(17), Note: record.Note{Author: "ana", Text: "<b>odd</b>\n- 0:01 mark ben: abort"}}},
		End:   &record.End{Reason: record.EndDone},
		Last:  at(51),
	}
}

func reportOf(t *testing.T, run *record.Run) Report {
	t.Helper()
	day, ps := spec.ParseGameDay("day.yaml", []byte(reportDay))
	require.Empty(t, ps)
	return ReportOf(run, day)
}

// Times of people are after the injection, and of who was first; a report says
// what was done of the playbook, who decided what, and what is to be done.
func TestReport(t *testing.T) {
	r := reportOf(t, wellRun())
	seconds := func(d *time.Duration) float64 {
		require.NotNil(t, d)
		return d.Seconds()
	}
	x := r.Steps[0].Reaction
	require.NotNil(t, x)
	assert.Equal(t, []float64{2, 5, 8, 19, 20}, []float64{seconds(x.Signal), seconds(x.Detected), seconds(x.Acknowledged), seconds(x.Mitigated), seconds(x.Healed)})
	p := r.Steps[0].Playbook
	require.NotNil(t, p)
	assert.Equal(t, 2.0, seconds(p.Signals[0].Seen))
	assert.Nil(t, p.Steps[0].Done)
	assert.Equal(t, "ben", p.Steps[1].By)
	assert.Equal(t, 10.0, seconds(p.Steps[1].Done))
	assert.Equal(t, []string{"ana"}, r.Approved)
	assert.Empty(t, r.Surprises)
	require.Len(t, r.Decisions, 1)
	assert.Equal(t, Happening{29 * time.Second, "mark", "ben", "mitigated"}, r.Decisions[0])
	assert.Equal(t, []Happening{{21 * time.Second, "mark", "ana", "page <somebody>"}}, r.Actions)
	require.Len(t, r.Timeline, 8+4+3+1+1)

	var page, text strings.Builder
	require.NoError(t, r.HTML(&page))
	require.NoError(t, r.Markdown(&text))
	assert.Contains(t, page.String(), "&lt;b&gt;odd&lt;/b&gt;")
	assert.NotContains(t, page.String(), "<b>odd")
	assert.Contains(t, text.String(), "| away | 2s | 5s | 8s | 19s | 20s |")
	assert.Contains(t, text.String(), "- [ ] Look.\n- [x] Call. (ben, 10s)\n")
	assert.Contains(t, text.String(), "- [ ] page <somebody> (ana)\n")
	assert.Contains(t, text.String(), "- 0:17 note ana: <b>odd</b> - 0:01 mark ben: abort\n", "nobody writes a line of another's")
}

// What the file did not lead to expect is told, each on its own.
func TestSurprises(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(run *record.Run)
		want   string
	}{
		"something left": {func(r *record.Run) { r.End.Dirty = []string{"process back: was up"} }, "not restored: process back: was up"},
		"a guardrail": {func(r *record.Run) {
			w := record.WatchEvent{T: time.Second, Watch: record.Watch{ID: "down", Group: "guardrail", State: "crossed", Bound: "at least 1", Measured: "0"}}
			r.Watches = append(r.Watches, w, w)
		}, "guardrail down was crossed at 1s: 0, kept is at least 1"},
		"a step that failed":     {func(r *record.Run) { r.Steps[3].State, r.Steps[3].Error = record.StepFailed, "no k6" }, "step sub failed: no k6"},
		"a fault that failed":    {func(r *record.Run) { r.Faults[2].State, r.Faults[2].Error = record.FaultFailed, "no quota" }, "fault away: no quota"},
		"a fault nobody noticed": {func(r *record.Run) { r.Faults[1].State = record.FaultInjected }, "fault away was never seen biting: nothing went its way, or the rehearsal did nothing"},
		"a signal not seen":      {func(r *record.Run) { r.Marks[1].What = Note }, "signal none-up of playbook p was not seen during away: people would not have known it by that"},
		"nobody mitigated":       {func(r *record.Run) { r.Marks[7].What = Note }, "nobody mitigated away: its time ended it"},
		"a scenario that failed": {func(r *record.Run) { r.Steps[3].Text = "fail: too slow (steps/sub)" }, "scenario sub: fail: too slow (steps/sub)"},
	} {
		t.Run(name, func(t *testing.T) {
			run := wellRun()
			tt.change(run)
			assert.Equal(t, []string{tt.want}, reportOf(t, run).Surprises)
		})
	}
}

// A record without an end is of a runner that was killed.
func TestReportOfADeadDay(t *testing.T) {
	run := wellRun()
	run.End = nil
	r := reportOf(t, run)
	assert.Equal(t, "died", r.Ended)
	assert.Contains(t, r.Why, "its runner was killed")
}
