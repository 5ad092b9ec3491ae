package reports

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"squall/runner/record"
)

// sampled is one series of a record with all of its samples. A histogram is
// kept as it was; every other value is a float.
type sampled struct {
	record.Series
	name    string
	at      []int64 // Unix nanoseconds
	values  []float64
	hists   []record.HistValue
	current bool // its source exposes it
	v       float64
	h       record.HistValue
}

// samples are all series of a record, each with a sample at every look at its
// source that was answered, in order of name and labels.
func samples(run *record.Run) []*sampled {
	byID, bySource := map[uint32]*sampled{}, map[string][]*sampled{}
	for _, sc := range run.Scrapes {
		for _, n := range sc.New {
			s := &sampled{Series: n, name: n.Labels["__name__"], current: true}
			byID[n.ID] = s
			bySource[sc.Source] = append(bySource[sc.Source], s)
		}
		for _, id := range sc.Gone {
			if s := byID[id]; s != nil {
				s.current = false
			}
		}
		for _, v := range sc.V {
			if s := byID[v.ID]; s != nil {
				s.v, s.current = float64(v.V), true
			}
		}
		for _, h := range sc.H {
			if s := byID[h.ID]; s != nil {
				s.h, s.current = h, true
			}
		}
		if !sc.Up {
			continue
		}
		for _, s := range bySource[sc.Source] {
			switch {
			case !s.current:
			case s.Type == "histogram":
				s.at, s.hists = append(s.at, sc.At), append(s.hists, s.h)
			default:
				s.at, s.values = append(s.at, sc.At), append(s.values, s.v)
			}
		}
	}
	all := slices.Collect(maps.Values(byID))
	slices.SortFunc(all, func(a, b *sampled) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(labelPairs(a.Labels, ""), labelPairs(b.Labels, "")), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// labelPairs are labels as Prometheus writes them, with one more at the end.
func labelPairs(l map[string]string, more string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		if k != "__name__" {
			parts = append(parts, k+"="+`"`+labelEscapes.Replace(l[k])+`"`)
		}
	}
	if more != "" {
		parts = append(parts, more)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// labelEscapes are those of the exposition formats.
var labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func value(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// ExportPrometheus writes every sample as OpenMetrics with timestamps, for
// promtool tsdb create-blocks-from openmetrics. That format has no native
// histograms: they become classic ones with a bucket for each that was ever used.
func ExportPrometheus(w io.Writer, run *record.Run) error {
	out := bufio.NewWriter(w)
	families := map[string][]string{} // lines of each family, which must stand together
	line := func(name, labels string, at int64, v float64) {
		families[name] = append(families[name], fmt.Sprintf("%s%s %s %.3f\n", name, labels, value(v), float64(at)/1e9))
	}
	for _, s := range samples(run) {
		labels := labelPairs(s.Labels, "")
		for i, at := range s.at {
			if s.Type != "histogram" {
				line(s.name, labels, at, s.values[i])
				continue
			}
			line(s.name+"_count", labels, at, float64(s.hists[i].Count))
			line(s.name+"_sum", labels, at, float64(s.hists[i].Sum))
		}
		s.classic(func(le float64, at int64, n float64) {
			line(s.name+"_bucket", labelPairs(s.Labels, `le="`+value(le)+`"`), at, n)
		})
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		fmt.Fprintf(out, "# TYPE %s unknown\n", name)
		for _, l := range families[name] {
			_, _ = out.WriteString(l) // Flush reports it
		}
	}
	_, _ = out.WriteString("# EOF\n")
	return out.Flush()
}

// classic gives the cumulative counts of a native histogram, bucket by bucket.
func (s *sampled) classic(give func(le float64, at int64, n float64)) {
	used := map[float64]bool{}
	for _, h := range s.hists {
		for _, le := range bounds(h) {
			used[le.at] = true
		}
	}
	for _, le := range append(slices.Sorted(maps.Keys(used)), math.Inf(1)) {
		for i, h := range s.hists {
			n := 0.0
			for _, b := range bounds(h) {
				if b.at <= le {
					n += b.n
				}
			}
			if math.IsInf(le, 1) {
				n = float64(h.Count)
			}
			give(le, s.at[i], n)
		}
	}
}

// bound is the upper end of a bucket and what is in it.
type bound struct{ at, n float64 }

// bounds are the buckets of a native histogram, from the lowest.
func bounds(h record.HistValue) (out []bound) {
	base := math.Exp2(math.Exp2(-float64(h.Schema)))
	for _, b := range slices.Backward(h.Neg) {
		out = append(out, bound{-math.Pow(base, float64(b[0]-1)), float64(b[1])})
	}
	if h.Zero > 0 {
		out = append(out, bound{h.ZeroT, float64(h.Zero)})
	}
	for _, b := range h.Pos {
		out = append(out, bound{math.Pow(base, float64(b[0])), float64(b[1])})
	}
	return out
}

// ExportCSV writes every sample as a row; histograms as count and sum.
func ExportCSV(w io.Writer, run *record.Run) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"time", "seconds", "name", "labels", "value"}) // Error reports it
	row := func(name string, s *sampled, at int64, v float64) {
		_ = out.Write([]string{time.Unix(0, at).UTC().Format(time.RFC3339Nano), number(run.T(at).Seconds()), plain(name), plain(labelPairs(s.Labels, "")), value(v)})
	}
	for _, s := range samples(run) {
		for i, at := range s.at {
			if s.Type != "histogram" {
				row(s.name, s, at, s.values[i])
				continue
			}
			row(s.name+"_count", s, at, float64(s.hists[i].Count))
			row(s.name+"_sum", s, at, float64(s.hists[i].Sum))
		}
	}
	out.Flush()
	return out.Error()
}
