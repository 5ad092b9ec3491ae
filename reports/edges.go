package reports

import (
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// judgedPhases are the columns of every comparison.
var judgedPhases = []string{"baseline", "fault", "recovery"}

// edgeRow is what went over one edge, between all instances of its services.
type edgeRow struct {
	Edge     string    `json:"edge"`
	Phases   []traffic `json:"phases"` // as judgedPhases
	Faults   []string  `json:"faults,omitempty"`
	Asserted []string  `json:"asserted,omitempty"`

	found bool // by traces, not in the system file
}

// traffic is what went over one edge in one phase. A retry is every exchange
// beyond the first of its operation, method and path; connections of edges
// that carry no HTTP count as one call each and are never retries.
type traffic struct {
	Calls   int `json:"calls"`
	Errors  int `json:"errors"`
	Retries int `json:"retries"`
}

// ErrorShare is NaN without calls.
func (t traffic) ErrorShare() float64 { return share(t.Errors, t.Calls) }

// RetryShare is NaN without calls.
func (t traffic) RetryShare() float64 { return share(t.Retries, t.Calls) }

func share(n, of int) float64 {
	if of == 0 {
		return math.NaN()
	}
	return float64(n) / float64(of)
}

// edges counts the exchanges by edge and phase; again is as retries has it.
func edges(in Input, again []bool) []edgeRow {
	rows, named := map[string]*edgeRow{}, map[string]*edgeRow{}
	row := func(link string) *edgeRow {
		if named[link] == nil {
			edge := declared(in.System, link)
			if rows[edge] == nil {
				rows[edge] = &edgeRow{Edge: edge, Phases: make([]traffic, len(judgedPhases))}
			}
			named[link] = rows[edge]
		}
		return named[link]
	}
	if in.System != nil {
		for _, e := range in.System.Spec.Edges {
			row(e.Name())
		}
	}
	for n := range in.Run.Exchanges {
		x := &in.Run.Exchanges[n]
		r := row(x.Edge)
		if i := slices.Index(judgedPhases, phaseAt(in.Run, in.Run.T(x.At))); i >= 0 {
			r.Phases[i].count(x, again[n])
		}
	}
	for _, f := range standings(in.Run) {
		for _, target := range f.Hits() {
			if r := rows[declared(in.System, target)]; r != nil && !slices.Contains(r.Faults, f.ID) {
				r.Faults = append(r.Faults, f.ID)
			}
		}
	}
	for _, f := range in.Result.Findings {
		if r := rows[declared(in.System, f.Edge)]; r != nil && f.Group == "expect" {
			r.Asserted = append(r.Asserted, f.ID)
		}
	}
	var out []edgeRow
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		out = append(out, *rows[name])
	}
	return out
}

var seed = maphash.MakeSeed()

// retries tells of every exchange whether it repeats one of its operation. What
// carries no operation is nobody's. There may be millions of calls, so those that
// were made before are known by their hash.
func retries(in Input) []bool {
	out := make([]bool, len(in.Run.Exchanges))
	made, edgeOf := make(map[uint64]struct{}, len(out)), map[string]string{}
	for i := range out {
		x := &in.Run.Exchanges[i]
		if x.Op == "" {
			continue
		}
		if edgeOf[x.Edge] == "" {
			edgeOf[x.Edge] = declared(in.System, x.Edge)
		}
		call := maphash.Comparable(seed, [4]string{edgeOf[x.Edge], x.Op, x.Method, x.Path})
		_, out[i] = made[call]
		made[call] = struct{}{}
	}
	return out
}

// undeclared are the edges that traces show and the system file does not have.
func undeclared(in Input) []string {
	service := map[string]string{}
	for _, s := range in.Run.Spans {
		service[s.Trace+s.ID] = s.Service
	}
	known, found := map[string]bool{}, map[string]bool{}
	if in.System != nil {
		_, edges := in.System.Declared()
		for _, e := range edges {
			known[e] = true
		}
	}
	for _, s := range in.Run.Spans {
		caller := service[s.Trace+s.Parent]
		// What comes over the bus has no edge of its own: both ends have one to the bus.
		if edge := caller + " -> " + s.Service; caller != "" && caller != s.Service && s.Kind == "server" && !known[edge] {
			found[edge] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// declared is the edge of a link between instances, as the system file has it.
func declared(system *spec.System, link string) string {
	if system == nil {
		return link
	}
	return system.EdgeOf(link)
}

func (t *traffic) count(x *record.Exchange, retry bool) {
	t.Calls++
	unanswered := x.Method != "" && x.Status == 0
	if x.Error != "" || x.Status >= 500 || unanswered {
		t.Errors++
	}
	if retry {
		t.Retries++
	}
}

func phaseAt(run *record.Run, t time.Duration) string {
	for _, p := range run.Phases {
		if t >= p.From && t < p.To {
			return p.Name
		}
	}
	return ""
}

// wireClasses are what the wire can have seen of an operation's last request.
var wireClasses = []string{"2xx", "3xx", "4xx", "5xx", "no reply", "not seen"}

const (
	wireNoReply = 4
	wireNotSeen = 5
)

// clientRow is one outcome at the client, by what the wire saw.
type clientRow struct {
	Outcome record.Outcome `json:"outcome"`
	Counts  []int          `json:"counts"` // as wireClasses
}

// clientAndWire lays what the client was told beside what went over the edges
// of the client; nil where those edges have no proxy.
func clientAndWire(run *record.Run) []clientRow {
	last := map[uint64]int8{} // by the hash of the operation's id
	for i := range run.Exchanges {
		if x := &run.Exchanges[i]; x.Op != "" && strings.HasPrefix(x.Edge, "client ->") {
			last[maphash.String(seed, x.Op)] = wireClass(x)
		}
	}
	if len(last) == 0 {
		return nil
	}
	counts := map[record.Outcome][]int{}
	for i := range run.Operations {
		op := &run.Operations[i]
		class, seen := last[maphash.String(seed, op.ID)]
		if !seen {
			class = wireNotSeen
		}
		if counts[op.Outcome] == nil {
			counts[op.Outcome] = make([]int, len(wireClasses))
		}
		counts[op.Outcome][class]++
	}
	var out []clientRow
	for _, o := range []record.Outcome{record.OK, record.Failed, record.Unknown} {
		if counts[o] != nil {
			out = append(out, clientRow{o, counts[o]})
		}
	}
	return out
}

func wireClass(x *record.Exchange) int8 {
	if x.Status < 200 || x.Error != "" {
		return wireNoReply
	}
	return int8(min(x.Status/100, 5) - 2)
}
