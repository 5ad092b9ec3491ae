package reports

import (
	"cmp"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/runner/verdict"
)

// Bounds of what is shown of the logs.
const (
	logSpan      = 5 * time.Second // either side of an event
	mostExcerpts = 10
	mostLines    = 12  // of an excerpt, or of a trace
	lineLength   = 300 // runes
)

// excerpt is what the services wrote around an event.
type excerpt struct {
	T     time.Duration `json:"t"`
	What  string        `json:"what"`
	Lines []logged      `json:"lines"`
	Left  int           `json:"left"` // lines of that time that are not shown
}

// logged is one line of a log, cut to what can be read.
type logged struct {
	T     time.Duration `json:"t"`
	From  string        `json:"from"`
	Level string        `json:"level,omitempty"`
	Text  string        `json:"text"`
	Trace string        `json:"trace,omitempty"`
	Grave bool          `json:"grave,omitempty"` // a warning or worse
}

// excerpts reads the logs once: what is near an event, and what belongs to a
// request that is shown.
func excerpts(in Input, worst []waterfall) []excerpt {
	out := events(in)
	byTrace, byOp := map[string]*waterfall{}, map[string]*waterfall{}
	for i := range worst {
		if w := &worst[i]; w.Trace != "" {
			byTrace[w.Trace] = w
		}
		byOp[worst[i].ID] = &worst[i]
	}
	for _, instance := range instancesWithLogs(in.Run.Dir) {
		var last time.Duration
		_ = in.Run.Log(instance, func(line record.LogLine) { // a log that cannot be read to its end shows what could be
			if line.Timed {
				last = line.T
			}
			l := logged{T: last, From: instance}
			l.Trace = firstField(line, "trace_id", "traceId", "trace")
			w := byTrace[l.Trace]
			if w == nil {
				w = byOp[firstField(line, "op")]
			}
			near := -1
			for i := range out {
				if d := (last - out[i].T).Abs(); d <= logSpan && (near < 0 || d < (last-out[near].T).Abs()) {
					near = i
				}
			}
			if w == nil && near < 0 {
				return
			}
			l.read(line)
			if w != nil && len(w.Logs) < mostLines {
				w.Logs = append(w.Logs, l)
			}
			if near >= 0 {
				out[near].take(l)
			}
		})
	}
	for i := range out {
		slices.SortStableFunc(out[i].Lines, func(a, b logged) int { return cmp.Compare(a.T, b.T) })
	}
	for i := range worst {
		slices.SortStableFunc(worst[i].Logs, func(a, b logged) int { return cmp.Compare(a.T, b.T) })
	}
	return slices.DeleteFunc(out, func(e excerpt) bool { return len(e.Lines) == 0 })
}

// take keeps the lines that say most: warnings before the rest, near before far.
func (e *excerpt) take(l logged) {
	e.Lines = append(e.Lines, l)
	slices.SortStableFunc(e.Lines, func(a, b logged) int {
		if a.Grave != b.Grave {
			return map[bool]int{true: -1, false: 1}[a.Grave]
		}
		return cmp.Compare((a.T - e.T).Abs(), (b.T - e.T).Abs())
	})
	if len(e.Lines) > mostLines {
		e.Lines = e.Lines[:mostLines]
		e.Left++
	}
}

// events are the instants that logs are read around.
func events(in Input) (out []excerpt) {
	end := in.Run.Last
	if n := len(in.Run.Phases); n > 0 {
		end = in.Run.Phases[n-1].To
	}
	add := func(t time.Duration, what string) {
		for i := range out { // what happens at once is one event
			if (out[i].T - t).Abs() < 250*time.Millisecond {
				if !strings.Contains(out[i].What, what) {
					out[i].What += "; " + what
				}
				return
			}
		}
		out = append(out, excerpt{T: t, What: what})
	}
	for _, f := range in.Run.Faults {
		if f.State == record.FaultInjected || f.State == record.FaultReverted || f.State == record.FaultFailed {
			add(f.T, "fault "+f.ID+" "+string(f.State))
		}
	}
	for _, f := range in.Result.Findings {
		if f.Worst != nil && f.Verdict != verdict.Pass && f.Group != "evidence" {
			add(*f.Worst, f.ID+" at its worst")
		}
	}
	for _, p := range in.Run.Processes {
		if (p.Event == "killed" || p.Event == "exited") && p.T < end {
			add(p.T, "process "+p.Service+" "+p.Event)
		}
	}
	for _, s := range in.Run.Steps {
		if s.State == record.StepBegun {
			add(s.T, "step "+s.ID)
		}
	}
	out = out[:min(len(out), mostExcerpts)]
	slices.SortStableFunc(out, func(a, b excerpt) int { return cmp.Compare(a.T, b.T) })
	return out
}

// instancesWithLogs are the names of the files in logs/.
func instancesWithLogs(dir string) (names []string) {
	entries, _ := os.ReadDir(filepath.Join(dir, "logs")) // a run that booted nothing has none
	for _, e := range entries {
		if name, is := strings.CutSuffix(e.Name(), ".log"); is && e.Type().IsRegular() {
			names = append(names, name)
		}
	}
	return names
}

func firstField(line record.LogLine, names ...string) string {
	for _, name := range names {
		if v, ok := line.Field(name); ok && v != "" {
			return shorten(v, 64)
		}
	}
	return ""
}

// grave finds lines that are no JSON and tell of something wrong.
var grave = regexp.MustCompile(`(?i)\b(warn(ing)?|error|panic|fatal|exception)\b`)

// told are the fields that a line's own columns show, or that all lines have.
var told = []string{"time", "timestamp", "ts", "@timestamp", "level", "msg", "message", "service", "instance", "trace_id", "traceId", "trace", "span_id"}

// read takes level and text of a line.
func (l *logged) read(line record.LogLine) {
	if line.Fields == nil {
		text := shorten(line.Text, 4*lineLength) // the pattern need not see megabytes
		l.Text, l.Grave = shorten(text, lineLength), grave.MatchString(text)
		return
	}
	level, _ := line.Field("level")
	l.Level = shorten(strings.ToLower(level), 8)
	l.Grave = strings.HasPrefix(l.Level, "warn") || strings.HasPrefix(l.Level, "err") || l.Level == "fatal" || l.Level == "panic"
	parts := []string{firstText(line, "msg", "message")}
	for _, name := range slices.Sorted(maps.Keys(line.Fields)) {
		if !slices.Contains(told, name) {
			v, _ := line.Field(name)
			parts = append(parts, shorten(name, 40)+"="+shorten(v, lineLength))
		}
	}
	l.Text = shorten(strings.TrimSpace(strings.Join(parts, " ")), lineLength)
}

func firstText(line record.LogLine, names ...string) string {
	for _, name := range names {
		if v, ok := line.Field(name); ok {
			return shorten(v, lineLength)
		}
	}
	return ""
}
