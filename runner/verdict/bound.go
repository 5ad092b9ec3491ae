package verdict

import (
	"math"
	"strings"
	"time"

	"squall/scenarios/spec"
)

// unit is how a bound was written, and so how values beside it are printed.
type unit int

const (
	plainUnit unit = iota
	ratioUnit
	secondsUnit
)

func (u unit) format(v float64) string {
	switch u {
	case ratioUnit:
		return percent(v)
	case secondsUnit:
		return seconds(v)
	default:
		return trimmed(v, 4)
	}
}

// name of the unit as a Measure has it.
func (u unit) name() string {
	return map[unit]string{ratioUnit: "share", secondsUnit: "seconds"}[u]
}

// bound is one limit on a measured value.
type bound struct {
	words  string // "at least"
	limit  float64
	text   string
	unit   unit
	lower  bool // a floor, not a ceiling
	strict bool
}

// bounds must all be met.
type bounds []bound

func boundsOf(c spec.Check) bounds {
	var bs bounds
	add := func(q *spec.Quantity, words string, lower, strict bool) {
		if q != nil {
			bs = append(bs, bound{words, q.Value, q.Text, unitOf(q.Text), lower, strict})
		}
	}
	add(c.AtLeast, "at least", true, false)
	add(c.Above, "above", true, true)
	add(c.AtMost, "at most", false, false)
	add(c.Below, "below", false, true)
	return bs
}

func atLeastRatio(v float64) bounds {
	return bounds{{words: "at least", limit: v, text: percent(v), unit: ratioUnit, lower: true}}
}

func unitOf(text string) unit {
	if strings.HasSuffix(text, "%") {
		return ratioUnit
	}
	if _, err := time.ParseDuration(text); err == nil && strings.ContainsAny(text, "nuµmsh") {
		return secondsUnit
	}
	return plainUnit
}

// slack absorbs rounding: 99.9% and 999/1000 need not be the same float. A bound
// that limits nothing has none.
func (b bound) slack() float64 {
	if math.IsInf(b.limit, 0) {
		return 0
	}
	return 1e-9 * math.Max(1, math.Abs(b.limit))
}

// room is how far v lies on the right side of the bound.
func (b bound) room(v float64) float64 {
	if b.lower {
		return v - b.limit
	}
	return b.limit - v
}

func (b bound) met(v float64) bool {
	if b.strict {
		return b.room(v) > b.slack()
	}
	return b.room(v) >= -b.slack()
}

func (bs bounds) met(v float64) bool {
	for _, b := range bs {
		if !b.met(v) {
			return false
		}
	}
	return true
}

// worse reports whether a is a worse value than b.
func (bs bounds) worse(a, b float64) bool { return bs.tightest(a).room(a) < bs.tightest(b).room(b) }

// tightest is the bound with the least room for v.
func (bs bounds) tightest(v float64) bound {
	best := bs[0]
	for _, b := range bs[1:] {
		if b.room(v) < best.room(v) {
			best = b
		}
	}
	return best
}

func (bs bounds) String() string {
	words := make([]string, len(bs))
	for i, b := range bs {
		words[i] = b.words + " " + b.text
	}
	return strings.Join(words, " and ")
}

// format prints v the way the bounds are written.
func (bs bounds) format(v float64) string {
	if len(bs) == 0 {
		return trimmed(v, 4)
	}
	return bs[0].unit.format(v)
}

// margin says where v lies against the tightest bound.
func (bs bounds) margin(v float64) string {
	if len(bs) == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	b := bs.tightest(v)
	if b.unit == ratioUnit {
		return signed(100*(v-b.limit)) + " points"
	}
	return against(v, b.limit)
}

// against is a relative distance in words: "35% below".
func against(v, limit float64) string {
	if limit == 0 {
		return signed(v)
	}
	share := (v - limit) / math.Abs(limit)
	switch s := trimmed(math.Abs(share)*100, 0) + "%"; {
	case v == limit:
		return "at the bound"
	case share < 0:
		return s + " below"
	default:
		return s + " above"
	}
}

func signed(v float64) string {
	s := trimmed(v, 2)
	if v > 0 && s != "0" {
		return "+" + s
	}
	return s
}
