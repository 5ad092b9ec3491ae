package gameday

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// Report is what a day's record says, for people. It is pure over the record.
type Report struct {
	Day        string            `json:"day"`
	Title      string            `json:"title,omitempty"`
	Objectives []string          `json:"objectives"`
	Roles      map[string]string `json:"roles,omitempty"`
	Started    time.Time         `json:"started"`
	Took       time.Duration     `json:"took"` // nanoseconds, as all times here
	Ended      string            `json:"ended"`
	Why        string            `json:"why,omitempty"`
	Dirty      []string          `json:"dirty,omitempty"`
	PlanHash   string            `json:"plan_hash"`
	Approved   []string          `json:"approved,omitempty"`
	Steps      []StepReport      `json:"steps"`
	Decisions  []Happening       `json:"decisions"`
	Surprises  []string          `json:"surprises"`
	Actions    []Happening       `json:"actions"`
	Timeline   []Happening       `json:"timeline"`
}

// StepReport is one step as it went.
type StepReport struct {
	ID       string          `json:"id"`
	Does     string          `json:"does"`
	State    string          `json:"state"`
	Text     string          `json:"text,omitempty"`
	From     time.Duration   `json:"from"`
	To       time.Duration   `json:"to"`
	Faults   []FaultReport   `json:"faults,omitempty"`
	Reaction *Reaction       `json:"reaction,omitempty"`
	Playbook *PlaybookReport `json:"playbook,omitempty"`
}

// FaultReport is one fault as it went; what did not happen is nil.
type FaultReport struct {
	ID       string         `json:"id"`
	What     string         `json:"what"`
	Injected *time.Duration `json:"injected,omitempty"`
	Biting   *time.Duration `json:"biting,omitempty"`
	Gone     *time.Duration `json:"gone,omitempty"`
	Receipt  string         `json:"receipt,omitempty"`
	Error    string         `json:"error,omitempty"`
}

// Reaction is how long after the injection what happened first; nil: never.
type Reaction struct {
	Signal       *time.Duration `json:"signal,omitempty"` // of the playbook, seen by squall
	Detected     *time.Duration `json:"detected,omitempty"`
	Acknowledged *time.Duration `json:"acknowledged,omitempty"`
	Mitigated    *time.Duration `json:"mitigated,omitempty"`
	Healed       *time.Duration `json:"healed,omitempty"` // the fault was seen gone
}

// PlaybookReport is what of a playbook was seen and done.
type PlaybookReport struct {
	ID      string         `json:"id"`
	Title   string         `json:"title"`
	Signals []SignalReport `json:"signals"`
	Steps   []DoneReport   `json:"steps"`
}

// SignalReport is a signal; Seen is nil where it never matched.
type SignalReport struct {
	ID       string         `json:"id"`
	Seen     *time.Duration `json:"seen,omitempty"` // after the injection
	Measured string         `json:"measured,omitempty"`
}

// DoneReport is a step of a playbook; Done is nil where nobody ticked it off.
type DoneReport struct {
	Text string         `json:"text"`
	Done *time.Duration `json:"done,omitempty"` // after the injection
	By   string         `json:"by,omitempty"`
}

// Happening is one line of the timeline.
type Happening struct {
	T    time.Duration `json:"t"`
	Kind string        `json:"kind"` // step, fault, mark, note, squall, end
	By   string        `json:"by,omitempty"`
	Text string        `json:"text"`
}

// ReportOf reads a day's record, whole or as far as it is.
func ReportOf(run *record.Run, day *spec.GameDay) Report {
	r := Report{
		Day: run.Header.Scenario, Title: run.Header.Title, Objectives: day.Spec.Objectives, Roles: day.Spec.Roles,
		Started: run.Header.Started, Took: run.Last, Ended: "died", Why: "there is no end in the record: its runner was killed", PlanHash: run.Header.PlanHash,
		Decisions: []Happening{}, Surprises: []string{}, Actions: []Happening{},
	}
	if run.End != nil {
		r.Ended, r.Why, r.Dirty = run.End.Reason, run.End.Error, run.End.Dirty
	}
	for _, s := range run.Steps {
		if s.State == record.StepBegun {
			r.Steps = append(r.Steps, stepReport(run, day, s))
		}
	}
	for _, m := range run.Marks {
		h := Happening{m.T, "mark", m.Author, words(m.Mark)}
		switch m.What {
		case "approved":
			r.Approved = append(r.Approved, m.Author)
		case Go, Mitigated, Abort:
			r.Decisions = append(r.Decisions, h)
		case Action:
			r.Actions = append(r.Actions, Happening{m.T, "mark", m.Author, m.Text})
		}
		r.Timeline = append(r.Timeline, h)
	}
	r.timeline(run)
	r.surprises(run, day)
	return r
}

func stepReport(run *record.Run, day *spec.GameDay, begun record.StepEvent) StepReport {
	out := StepReport{ID: begun.ID, Does: begun.Does, State: string(record.StepBegun), From: begun.T, To: run.Last}
	for _, s := range run.Steps {
		if s.ID == begun.ID && s.State != record.StepBegun {
			out.State, out.To, out.Text = string(s.State), s.T, cmp.Or(s.Error, s.Text)
		}
	}
	i := slices.IndexFunc(day.Spec.Steps, func(s spec.DayStep) bool { return s.ID == begun.ID })
	if i < 0 {
		return out
	}
	step := day.Spec.Steps[i]
	for _, f := range step.Levels() {
		out.Faults = append(out.Faults, faultReport(run, f.ID))
	}
	if len(out.Faults) == 0 || out.Faults[0].Injected == nil {
		return out
	}
	injected := *out.Faults[0].Injected
	since := func(t time.Duration) *time.Duration { t -= injected; return &t }
	out.Reaction = reaction(run, out, since)
	if p, ok := day.Playbook(step.Playbook); ok {
		out.Playbook = playbookReport(run, step.ID, p, since)
	}
	return out
}

func faultReport(run *record.Run, id string) FaultReport {
	out := FaultReport{ID: id}
	for _, f := range run.Faults {
		if f.ID != id {
			continue
		}
		at := f.T
		out.What = strings.TrimSpace(f.Kind + " " + f.Detail + " on " + f.On)
		if f.Receipt != nil && f.Receipt.Unit != "" {
			out.Receipt = fmt.Sprintf("%d %s", f.Receipt.Hits, f.Receipt.Unit)
		}
		switch f.State {
		case record.FaultInjected:
			out.Injected = &at
		case record.FaultBiting:
			out.Biting = &at
		case record.FaultGone:
			out.Gone = &at
		case record.FaultFailed:
			out.Error = f.Error
		}
	}
	return out
}

func reaction(run *record.Run, step StepReport, since func(time.Duration) *time.Duration) *Reaction {
	var out Reaction
	first := map[string]**time.Duration{"signal": &out.Signal, Detected: &out.Detected, Acknowledged: &out.Acknowledged, Mitigated: &out.Mitigated}
	for _, m := range run.Marks {
		if at := first[m.What]; at != nil && m.Step == step.ID && *at == nil {
			*at = since(m.T)
		}
	}
	if gone := step.Faults[len(step.Faults)-1].Gone; gone != nil {
		out.Healed = since(*gone)
	}
	return &out
}

func playbookReport(run *record.Run, step string, p spec.Playbook, since func(time.Duration) *time.Duration) *PlaybookReport {
	out := &PlaybookReport{ID: p.ID, Title: p.Title}
	for _, s := range p.Signals {
		out.Signals = append(out.Signals, SignalReport{ID: s.ID})
	}
	for _, text := range p.Steps {
		out.Steps = append(out.Steps, DoneReport{Text: text})
	}
	for _, m := range run.Marks {
		if m.Step != step {
			continue
		}
		if i := slices.IndexFunc(out.Signals, func(s SignalReport) bool { return s.ID == m.On }); m.What == "signal" && i >= 0 && out.Signals[i].Seen == nil {
			out.Signals[i].Seen, out.Signals[i].Measured = since(m.T), m.Text
		}
		if m.What == Did && m.N >= 1 && m.N <= len(out.Steps) && out.Steps[m.N-1].Done == nil {
			out.Steps[m.N-1].Done, out.Steps[m.N-1].By = since(m.T), m.Author
		}
	}
	return out
}

// words are what a mark says.
func words(m record.Mark) string {
	text := map[string]string{
		Go: "go on", "approved": "approved the plan", "signal": "signal " + m.On + " seen: " + m.Text,
		Did: fmt.Sprintf("did step %d of playbook %s: %s", m.N, m.On, m.Text), Action: "to do: " + m.Text, Abort: "abort",
	}[m.What]
	if text == "" {
		text = m.What
	}
	if m.Text != "" && m.What != Did && m.What != Action && m.What != "signal" {
		text += ": " + m.Text
	}
	return text
}

func (r *Report) timeline(run *record.Run) {
	add := func(t time.Duration, kind, by, text string) {
		r.Timeline = append(r.Timeline, Happening{t, kind, by, text})
	}
	for _, s := range run.Steps {
		text := s.ID + " " + string(s.State)
		if s.State == record.StepBegun {
			text = s.ID + ": " + s.Does
		} else if what := cmp.Or(brief(run, s.Error), s.Text); what != "" {
			text += ": " + what
		}
		add(s.T, "step", "", text)
	}
	for _, f := range run.Faults {
		if f.State == record.FaultIntent {
			continue
		}
		text := fmt.Sprintf("%s %s", f.ID, f.State)
		if f.State == record.FaultInjected {
			text += ": " + strings.TrimSpace(f.Kind+" "+f.Detail) + " on " + f.On
		}
		if f.Receipt != nil && f.Receipt.Hits > 0 {
			text += fmt.Sprintf(", %d %s", f.Receipt.Hits, f.Receipt.Unit)
		}
		if f.Error != "" {
			text += ": " + f.Error
		}
		add(f.T, "fault", "", text)
	}
	for _, n := range run.Notes {
		kind := "note"
		if n.Author == "squall" {
			kind = "squall"
		}
		add(n.T, kind, n.Author, n.Text)
	}
	if run.End != nil {
		add(run.Last, "end", "", strings.TrimSuffix(run.End.Reason+": "+brief(run, run.End.Error), ": "))
	}
	slices.SortStableFunc(r.Timeline, func(a, b Happening) int { return cmp.Compare(a.T, b.T) })
}

// brief cuts off the reason of a fault that failed, where that ends a text: the
// fault's own line says it.
func brief(run *record.Run, text string) string {
	for _, f := range run.Faults {
		if f.Error != "" {
			text = strings.TrimSuffix(strings.TrimSuffix(text, f.Error), ": ")
		}
	}
	return text
}

// surprises are what the file did not lead to expect.
func (r *Report) surprises(run *record.Run, day *spec.GameDay) {
	add := func(format string, args ...any) { r.Surprises = append(r.Surprises, fmt.Sprintf(format, args...)) }
	for _, d := range r.Dirty {
		add("not restored: %s", d)
	}
	crossed := map[string]bool{}
	for _, w := range run.Watches {
		if w.Group == "guardrail" && w.State == "crossed" && !crossed[w.ID] {
			crossed[w.ID] = true
			add("guardrail %s was crossed at %s: %s, kept is %s", w.ID, short(w.T), w.Measured, w.Bound)
		}
	}
	for _, s := range r.Steps {
		if s.State == string(record.StepFailed) {
			add("step %s failed: %s", s.ID, brief(run, s.Text))
		}
		for _, f := range s.Faults {
			switch {
			case f.Error != "" && !strings.Contains(strings.Join(r.Dirty, "\n"), strings.TrimPrefix(f.Error, "revert: ")):
				add("fault %s: %s", f.ID, f.Error)
			case f.Injected != nil && f.Biting == nil:
				add("fault %s was never seen biting: nothing went its way, or the rehearsal did nothing", f.ID)
			}
		}
		if s.Playbook != nil {
			for _, sig := range s.Playbook.Signals {
				if sig.Seen == nil {
					add("signal %s of playbook %s was not seen during %s: people would not have known it by that", sig.ID, s.Playbook.ID, s.ID)
				}
			}
		}
		i := slices.IndexFunc(day.Spec.Steps, func(d spec.DayStep) bool { return d.ID == s.ID })
		if i >= 0 && day.Spec.Steps[i].Until == "person" && s.State == string(record.StepDone) && s.Reaction != nil && s.Reaction.Mitigated == nil {
			add("nobody mitigated %s: its time ended it", s.ID)
		}
		if i >= 0 && day.Spec.Steps[i].Scenario != "" && s.State == string(record.StepDone) && !strings.HasPrefix(s.Text, "pass") {
			add("scenario %s: %s", s.ID, s.Text)
		}
	}
}

func short(d time.Duration) string { return d.Round(100 * time.Millisecond).String() }
