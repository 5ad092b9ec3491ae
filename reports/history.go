package reports

import (
	"bufio"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"squall/runner/verdict"
)

// Past is one line of the history: what came of one scenario in one suite. The
// file is the user's to keep in a repository.
type Past struct {
	At         time.Time       `json:"at"`
	Name       string          `json:"name"` // of the scenario, with the defects it ran with
	Verdict    string          `json:"verdict"`
	Runs       int             `json:"runs,omitempty"` // where there were several
	Seed       uint64          `json:"seed"`
	Plan       string          `json:"plan"`
	Assertions []PastAssertion `json:"assertions,omitempty"`
}

// PastAssertion is what came of one assertion.
type PastAssertion struct {
	ID       string   `json:"id"`
	Verdict  string   `json:"verdict"`
	Measured string   `json:"measured,omitempty"`
	Room     *float64 `json:"room,omitempty"` // to the bound, in points or per cent of it; negative: beyond
}

// pastOf is the line of a scenario.
func pastOf(s Scenario) Past {
	h := s.Runs[0].Header
	p := Past{At: h.Started.UTC().Truncate(time.Second), Name: plain(s.Name()), Verdict: Word(s.Result), Seed: h.Seed, Plan: short(h.PlanHash)}
	if len(s.Runs) > 1 {
		p.Runs = len(s.Runs)
	}
	for _, f := range s.Result.Findings {
		if f.Group == "expect" {
			p.Assertions = append(p.Assertions, PastAssertion{plain(f.ID), string(f.Verdict), plain(shorten(f.Measured, 120)), room(f)})
		}
	}
	return p
}

// margins is how findings say how far a value lies from its bound.
var margins = regexp.MustCompile(`^([+-]?[0-9.]+)(?: points|% (below|above))$`)

// room is how far the measured value lies on the right side of its bound.
func room(f verdict.Finding) *float64 {
	m := margins.FindStringSubmatch(f.Margin)
	if m == nil {
		return nil
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return nil
	}
	if m[2] == "below" {
		v = -v
	}
	if floor := strings.HasPrefix(f.Expected, "at least") || strings.HasPrefix(f.Expected, "above"); !floor {
		v = -v
	}
	v += 0 // no negative zero in the file
	return &v
}

// AppendHistory adds a line for each scenario and makes the file if need be.
func AppendHistory(path string, all []Scenario) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("reports: history: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("reports: history: %w", err)
	}
	var lines []byte
	for _, s := range all {
		line, err := json.Marshal(pastOf(s))
		if err != nil {
			return fmt.Errorf("reports: history: %w", err)
		}
		lines = append(append(lines, line...), '\n')
	}
	if _, err := f.Write(lines); err != nil { // at once: suites may end together
		f.Close()
		return fmt.Errorf("reports: history: %w", err)
	}
	return f.Close()
}

// ReadHistory reads the file; one that is not there is empty. A line that is no
// history is an error with its place.
func ReadHistory(path string) (out []Past, err error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reports: history: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if strings.TrimSpace(lines.Text()) == "" {
			continue
		}
		var p Past
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil || p.Name == "" {
			return nil, fmt.Errorf("reports: %s:%d: no line of a history: want {\"name\": ..., \"verdict\": ...}", path, n)
		}
		out = append(out, p)
	}
	return out, lines.Err()
}

// How far back trends look.
const (
	pastShown  = 12
	pastFlaky  = 10
	pastMargin = 8
)

// Trend is the past of one scenario, oldest first, and what is new in it.
type Trend struct {
	Name string
	Past []Past
	News []string
	Room []RoomTrend
}

// RoomTrend is the room of one assertion over time.
type RoomTrend struct {
	ID   string
	Last float64
	Room []float64
}

// Trends group a history by scenario, in order of name.
func Trends(history []Past) (out []Trend) {
	index := map[string]int{}
	for _, p := range history {
		i, known := index[p.Name]
		if !known {
			i = len(out)
			index[p.Name] = i
			out = append(out, Trend{Name: p.Name})
		}
		out[i].Past = append(out[i].Past, p)
	}
	for i := range out {
		slices.SortStableFunc(out[i].Past, func(a, b Past) int { return a.At.Compare(b.At) })
		out[i].tell()
	}
	slices.SortFunc(out, func(a, b Trend) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Marks are the last verdicts, oldest first.
func (t Trend) Marks() string {
	var b strings.Builder
	for _, p := range t.Past[max(0, len(t.Past)-pastShown):] {
		b.WriteString(marks[p.Verdict])
	}
	return b.String()
}

func (t *Trend) tell() {
	n := len(t.Past)
	now := t.Past[n-1]
	if n > 1 {
		before := t.Past[n-2]
		switch good := func(p Past) bool { return p.Verdict == "pass" }; {
		case good(before) && !good(now) && now.Verdict != "skipped":
			t.News = append(t.News, "newly "+failing(now.Verdict)+unmet(now))
		case !good(before) && good(now) && before.Verdict != "skipped":
			t.News = append(t.News, "passes again")
		}
		if flaky(t.Past) && !flaky(t.Past[:n-1]) {
			t.News = append(t.News, "newly flaky")
		}
	}
	for _, a := range now.Assertions {
		if a.Room == nil {
			continue
		}
		rooms := t.rooms(a.ID)
		t.Room = append(t.Room, RoomTrend{a.ID, *a.Room, rooms})
		if was, lost := marginLost(rooms); lost {
			t.News = append(t.News, fmt.Sprintf("%s lost margin: %.3g of %.3g left", a.ID, *a.Room, was))
		}
	}
}

func failing(verdict string) string {
	if verdict == "fail" {
		return "failing"
	}
	return verdict
}

// unmet names the assertions that are not met.
func unmet(p Past) string {
	var ids []string
	for _, a := range p.Assertions {
		if a.Verdict != "pass" && a.Verdict != "skipped" {
			ids = append(ids, a.ID)
		}
	}
	if len(ids) == 0 {
		return ""
	}
	return ": " + strings.Join(ids, ", ")
}

// flaky: with the same plan it went from pass to something else and back.
func flaky(past []Past) bool {
	turns := 0
	past = past[max(0, len(past)-pastFlaky):]
	for i := 1; i < len(past); i++ {
		if (past[i].Verdict == "pass") != (past[i-1].Verdict == "pass") {
			turns++
		}
	}
	return turns >= 2
}

// rooms of an assertion, oldest first.
func (t *Trend) rooms(id string) (out []float64) {
	for _, p := range t.Past {
		for _, a := range p.Assertions {
			if a.ID == id && a.Room != nil {
				out = append(out, *a.Room)
			}
		}
	}
	return out
}

// marginLost: what is left now is less than half of the median of the last
// ones, and less than there ever was among them.
func marginLost(rooms []float64) (was float64, lost bool) {
	n := len(rooms) - 1
	before := slices.Clone(rooms[max(0, n-pastMargin):max(0, n)])
	if len(before) < 3 || rooms[n] < 0 { // beyond the bound is no lost margin but a broken assertion
		return 0, false
	}
	slices.Sort(before)
	was = before[len(before)/2]
	return was, rooms[n] < was/2 && rooms[n] < before[0]
}

// Spark is the room over time as a small line.
func (r RoomTrend) Spark() template.HTML {
	const width, height = 120.0, 22.0
	if len(r.Room) < 2 {
		return ""
	}
	rooms := r.Room[max(0, len(r.Room)-30):]
	lo, hi := min(0, slices.Min(rooms)), max(0, slices.Max(rooms))
	if hi == lo {
		hi = lo + 1
	}
	y := func(v float64) float64 { return 2 + (height-4)*(hi-v)/(hi-lo) }
	var p picture
	var path strings.Builder
	for i, v := range rooms {
		fmt.Fprintf(&path, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], 2+(width-4)*float64(i)/float64(len(rooms)-1), y(v))
	}
	p.add(`<line x1="0" x2="%.0f" y1="%.1f" y2="%.1f" stroke="currentColor" stroke-opacity="0.3" stroke-dasharray="2 2"/>`, width, y(0), y(0))
	p.add(`<path d="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, path.String(), blue)
	return p.whole(width, height, fmt.Sprintf("margin of %s over the last %d runs, now %.3g", r.ID, len(rooms), r.Last), "")
}

// HistoryText writes for a terminal what is new, and the past of every scenario.
func HistoryText(w io.Writer, trends []Trend) error {
	width := 0
	for _, t := range trends {
		width = max(width, len([]rune(t.Name)))
	}
	for _, t := range trends {
		if _, err := fmt.Fprintf(w, "%s  %s\n", pad(plain(t.Name), width), t.Marks()); err != nil {
			return err
		}
		for _, n := range t.News {
			fmt.Fprintf(w, "%s  %s\n", pad("", width), plain(n))
		}
	}
	return nil
}
