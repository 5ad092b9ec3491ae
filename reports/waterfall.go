package reports

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
)

// Bounds of the requests that are shown one by one.
const (
	mostWaterfalls = 8
	mostHops       = 40
	mostHappened   = 60 // characters of the events of a span
)

// waterfall is one operation with every call that it caused.
type waterfall struct {
	Why     string         `json:"why"` // it was chosen
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Trace   string         `json:"trace,omitempty"`
	Outcome record.Outcome `json:"outcome"`
	Detail  string         `json:"detail,omitempty"`
	At      time.Duration  `json:"at"`
	Dur     time.Duration  `json:"dur"`
	Hops    []hop          `json:"hops"`
	Left    int            `json:"left,omitempty"` // hops that are not shown
	Logs    []logged       `json:"logs,omitempty"` // lines of its trace or operation
}

// hop is one call, or one span of a trace.
type hop struct {
	At     time.Duration `json:"at"`
	Dur    time.Duration `json:"dur"`
	Where  string        `json:"where"` // edge, or instance of a span
	What   string        `json:"what"`
	Status string        `json:"status,omitempty"`
	Bad    bool          `json:"bad,omitempty"`
	Role   string        `json:"role,omitempty"`  // attempt 2, fallback, span
	Fault  string        `json:"fault,omitempty"` // that hit it, and what it did
}

// worstRequests chooses what tells most: what the books contradict, what was
// not ok under the fault, what was slowest, and for comparison a usual one.
func worstRequests(in Input) []waterfall {
	chosen := choose(in)
	index := map[string]int{}
	for i, w := range chosen {
		index[w.ID] = i
	}
	traces := map[string]int{}
	for i := range in.Run.Exchanges {
		x := &in.Run.Exchanges[i]
		n, ok := index[x.Op]
		if !ok || x.Op == "" {
			continue
		}
		w := &chosen[n]
		w.Hops = append(w.Hops, hopOf(in.Run, x))
		if x.Trace != "" {
			w.Trace, traces[x.Trace] = cmp.Or(w.Trace, x.Trace), n
		}
	}
	for i := range in.Run.Spans {
		s := &in.Run.Spans[i]
		call := s.Kind == "client" || s.Kind == "server" // it is seen at the wire, but not what happened during it
		if n, ok := traces[s.Trace]; ok && (!call || len(s.Events) > 0) {
			chosen[n].Hops = append(chosen[n].Hops, hop{
				At: in.Run.T(s.At), Dur: time.Duration(s.Dur), Where: cmp.Or(s.Instance, s.Service), What: s.Name, Bad: s.Error, Role: "span", Status: happened(s),
			})
		}
	}
	for i := range chosen {
		chosen[i].finish(in)
	}
	return chosen
}

// happened names the events of a span, such as retry and fallback, and how often each.
func happened(s *record.TraceSpan) string {
	times, names := map[string]int{}, []string{}
	for _, e := range s.Events {
		if times[e.Name]++; times[e.Name] == 1 {
			names = append(names, e.Name)
		}
	}
	for i, name := range names {
		if n := times[name]; n > 1 {
			names[i] = fmt.Sprintf("%s ×%d", name, n)
		}
	}
	return shorten(strings.Join(names, ", "), mostHappened)
}

// choose picks operations; each is picked once.
func choose(in Input) (out []waterfall) {
	taken := map[string]bool{}
	add := func(why string, op *record.Operation) {
		if op == nil || taken[op.ID] || len(out) >= mostWaterfalls {
			return
		}
		taken[op.ID] = true
		out = append(out, waterfall{Why: why, ID: op.ID, Name: op.Name, Outcome: op.Outcome, Detail: op.Detail, At: in.Run.T(op.At), Dur: time.Duration(op.Dur)})
	}
	said := map[string]string{}
	for _, f := range in.Result.Findings {
		for _, x := range f.Flaws {
			said[x.ID] = "the books contradict it: " + x.Flaw
		}
	}
	failed, unknown, slow := slowest{most: 2}, slowest{most: 1}, slowest{most: 2}
	var usual []*record.Operation
	contradicted := 0
	for i := range in.Run.Operations {
		op := &in.Run.Operations[i]
		if why := said[op.ID]; why != "" && contradicted < 3 {
			add(why, op)
			contradicted++
		}
		switch phase := phaseAt(in.Run, in.Run.T(op.At)); {
		case phase == "fault" && op.Outcome == record.Failed:
			failed.take(op)
		case phase == "fault" && op.Outcome == record.Unknown:
			unknown.take(op)
		case phase == "fault":
			slow.take(op)
		case phase == "baseline" && op.Outcome == record.OK:
			usual = append(usual, op)
		}
	}
	pick := func(why string, ops []*record.Operation) {
		for _, op := range ops {
			add(why, op)
		}
	}
	pick("slowest that failed under the fault", failed.ops)
	pick("slowest whose reply was lost under the fault", unknown.ops)
	pick("slowest ok under the fault", slow.ops)
	if n := len(usual); n > 0 {
		slices.SortStableFunc(usual, longer)
		add("for comparison: a usual one before the fault", usual[n/2])
	}
	return out
}

// longer sorts operations, the longest first.
func longer(a, b *record.Operation) int {
	return cmp.Or(cmp.Compare(b.Dur, a.Dur), cmp.Compare(a.At, b.At))
}

// slowest keeps the slowest of the operations it takes, the slowest first.
type slowest struct {
	most int
	ops  []*record.Operation
}

func (s *slowest) take(op *record.Operation) {
	if n := len(s.ops); n == s.most && longer(s.ops[n-1], op) <= 0 {
		return
	}
	at, _ := slices.BinarySearchFunc(s.ops, op, func(a, b *record.Operation) int { return cmp.Or(longer(a, b), -1) })
	s.ops = slices.Insert(s.ops, at, op)
	s.ops = s.ops[:min(len(s.ops), s.most)]
}

func hopOf(run *record.Run, x *record.Exchange) hop {
	h := hop{At: run.T(x.At), Dur: time.Duration(x.Dur), Where: x.Edge, What: strings.TrimSpace(x.Method + " " + x.Path), Fault: x.Fault}
	if x.Status != 0 {
		h.Status = fmt.Sprint(x.Status)
	}
	h.Status = strings.TrimSpace(strings.Join([]string{h.Status, x.Code, x.Error}, " "))
	if h.Status == "" && x.Method != "" {
		h.Status = "no reply"
	}
	h.Bad = x.Error != "" || x.Status >= 500 || x.Method != "" && x.Status == 0
	var acts []string
	for _, a := range x.Acts {
		acts = append(acts, a.Stage+": "+a.What)
	}
	if len(acts) > 0 {
		h.Fault = strings.Join(acts, ", ")
	}
	return h
}

// finish puts the hops in order and names attempts and fallbacks: the same call
// again, or the same call to another callee after it went wrong.
func (w *waterfall) finish(in Input) {
	slices.SortStableFunc(w.Hops, func(a, b hop) int { return cmp.Compare(a.At, b.At) })
	attempts, wentWrong := map[string]int{}, map[string]string{}
	for i := range w.Hops {
		h := &w.Hops[i]
		if h.Role == "span" {
			continue
		}
		edge := declared(in.System, h.Where)
		caller, callee, _ := strings.Cut(edge, " -> ")
		attempts[edge+h.What]++
		call := caller + " " + h.What
		switch {
		case attempts[edge+h.What] > 1:
			h.Role = fmt.Sprintf("attempt %d", attempts[edge+h.What])
		case wentWrong[call] != "" && wentWrong[call] != callee:
			h.Role = "fallback"
		}
		if h.Bad {
			wentWrong[call] = callee
		}
	}
	if n := len(w.Hops); n > mostHops {
		w.Hops, w.Left = w.Hops[:mostHops], n-mostHops
	}
}

// Height of a row of the waterfall, and the room for names left of the bars.
const (
	hopHeight = 20.0
	hopNames  = 400.0
)

// SVG draws the waterfall. What comes long after the answer is not to scale, or
// nothing would be seen of the rest.
func (w waterfall) SVG() template.HTML {
	var svg picture
	from, to := w.At, w.At+w.Dur
	toScale := to + max(w.Dur, time.Millisecond)
	for _, h := range w.Hops {
		from, to = min(from, h.At), max(to, min(h.At+h.Dur, toScale))
	}
	const right = svgWidth - 170
	x := func(t time.Duration) float64 {
		return hopNames + (right-hopNames)*float64(min(t, to)-from)/float64(max(1, to-from))
	}
	row := func(i int, name string, h hop, colour string) {
		y := float64(i) * hopHeight
		svg.text(0, y+14, "start", shorten(name, 66), `font-size="11"`)
		width := max(2, x(h.At+h.Dur)-x(h.At))
		svg.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="11" rx="2" fill="%s"/>`, x(h.At), y+5, width, colour)
		if h.Bad {
			svg.add(`<path d="M%.1f %.1fl8 8m0-8l-8 8" fill="none" stroke="%s" stroke-width="2"/>`, x(h.At)+width+4, y+6.5, red)
		}
		label := strings.TrimSpace(strings.Join([]string{latency(record.Float(h.Dur.Seconds())), h.Status, h.Role}, " "))
		if h.Fault != "" {
			label += " ⚡ " + h.Fault
		}
		if h.At > toScale {
			label += ", " + latency(record.Float((h.At - w.At - w.Dur).Seconds())) + " later"
		}
		start, anchor := x(h.At)+width+5, "start"
		if h.Bad {
			start += 11
		}
		if start+textWidth(label, 11) > svgWidth && x(h.At)-6-textWidth(label, 11) > hopNames {
			start, anchor = x(h.At)-6, "end"
		}
		if most := int((svgWidth - start) / (0.58 * 11)); anchor == "start" {
			label = shorten(label, max(most, 12))
		}
		svg.text(min(start, svgWidth-40), y+14, anchor, label, `font-size="11" `+halo)
	}
	row(0, w.Name+" as the client saw it", hop{At: w.At, Dur: w.Dur, Status: string(w.Outcome), Bad: w.Outcome != record.OK}, grey)
	for i, h := range w.Hops {
		colour := blue
		switch {
		case h.Fault != "":
			colour = red
		case h.Role == "fallback":
			colour = green
		case strings.HasPrefix(h.Role, "attempt"):
			colour = orange
		case h.Role == "span":
			colour = grey
		}
		row(i+1, h.Where+"  "+h.What, h, colour)
	}
	height := float64(len(w.Hops)+1) * hopHeight
	return svg.whole(svgWidth, height, fmt.Sprintf("Waterfall of %s %s: %d calls", w.Name, w.ID, len(w.Hops)), "")
}
