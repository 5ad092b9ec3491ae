package spec

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Scalar is implemented, on the pointer, by types that are written as one
// word: the decoder hands them the text of the scalar as it stands. Its errors
// say what is wrong and what to write instead.
type Scalar interface {
	FromScalar(text string) error
}

// describer may be implemented by a Scalar, on the value, to be named in
// messages, reference and JSON Schema; pattern may be empty.
type describer interface {
	ScalarDoc() (name, example, pattern string)
}

// FromScalar reads a length of time with its unit; it may not be negative.
func (d *Duration) FromScalar(text string) error {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return errors.New("duration needs a unit: write 250ms or 3s")
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%s is not a duration: write 250ms, 3s or 1m30s", quote(text))
	}
	if v < 0 {
		return fmt.Errorf("duration %s is negative", quote(text))
	}
	*d = Duration(v)
	return nil
}

// String is the shortest form that reads back: "1m30s", "2m", "250ms".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes the duration with its unit, in JSON and YAML alike.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Duration) UnmarshalText(text []byte) error { return d.FromScalar(string(text)) }

// ScalarDoc names the type for messages and schema.
func (Duration) ScalarDoc() (name, example, pattern string) {
	return "duration", "250ms", `^([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*$`
}

// rateUnits are how many seconds a rate's unit lasts.
var rateUnits = map[string]float64{"s": 1, "m": 60, "h": 3600}

// FromScalar reads a rate above zero with its unit: 40/s, 600/m, 100/h.
func (r *Rate) FromScalar(text string) error {
	count, unit, _ := strings.Cut(text, "/")
	n, err := number(strings.TrimSpace(count))
	seconds, known := rateUnits[strings.TrimSpace(unit)]
	switch {
	case err == nil && unit == "":
		return errors.New("rate needs a unit: write 40/s or 600/m")
	case err != nil || !known:
		return fmt.Errorf("%s is not a rate: write 40/s, 600/m or 100/h", quote(text))
	case n/seconds <= 0:
		return fmt.Errorf("rate %s is not above zero", quote(text))
	}
	*r = Rate{PerSecond: n / seconds, Text: text}
	return nil
}

// String is the rate as written.
func (r Rate) String() string {
	if r.Text == "" {
		return trimFloat(r.PerSecond) + "/s"
	}
	return r.Text
}

// MarshalText writes the rate as it was written.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Rate) UnmarshalText(text []byte) error { return r.FromScalar(string(text)) }

// ScalarDoc names the type for messages and schema.
func (Rate) ScalarDoc() (name, example, pattern string) {
	return "rate", "40/s", `^([0-9]+(\.[0-9]*)?|\.[0-9]+) */ *[smh]$`
}

// FromScalar reads a ratio (99%), a duration (800ms) or a plain number.
func (q *Quantity) FromScalar(text string) error {
	v, err := quantity(text)
	if err != nil {
		return fmt.Errorf("%s is not a bound: write a ratio (99%%), a duration (800ms) or a number (3)", quote(text))
	}
	*q = Quantity{Value: v, Text: text}
	return nil
}

func quantity(text string) (float64, error) {
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		v, err := number(percent)
		return v / 100, err
	}
	if v, err := number(text); err == nil {
		return v, nil
	}
	d, err := time.ParseDuration(text)
	return d.Seconds(), err
}

// String is the bound as written.
func (q Quantity) String() string {
	if q.Text == "" {
		return trimFloat(q.Value)
	}
	return q.Text
}

// MarshalText writes the bound as it was written.
func (q Quantity) MarshalText() ([]byte, error) { return []byte(q.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (q *Quantity) UnmarshalText(text []byte) error { return q.FromScalar(string(text)) }

// ScalarDoc names the type for messages and schema.
func (Quantity) ScalarDoc() (name, example, pattern string) {
	return "bound", "99%", `^-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?(%|ns|us|µs|ms|s|m|h)?$`
}

// Ratio is a share of a whole, 0..1. It is written 0.995 or 99.5%.
type Ratio float64

// FromScalar refuses bare numbers above 1: 30 could mean 30% or a slip.
func (r *Ratio) FromScalar(text string) error {
	percent, isPercent := strings.CutSuffix(text, "%")
	v, err := number(percent)
	switch {
	case err != nil:
		return fmt.Errorf("%s is not a ratio: write 0.3 or 30%%", quote(text))
	case v < 0:
		return fmt.Errorf("ratio %s is negative", quote(text))
	case isPercent && v > 100:
		return fmt.Errorf("ratio %s is above 100%%", quote(text))
	case isPercent:
		v /= 100
	case v > 1:
		return fmt.Errorf("ratio %s is above 1: write 0.3 or 30%%", text)
	}
	*r = Ratio(v)
	return nil
}

// String prints the ratio as a percentage.
func (r Ratio) String() string {
	// Nine decimals hide the noise of multiplying by 100 (0.57 -> 56.99999999999999).
	return trimFloat(math.Round(float64(r)*1e11)/1e9) + "%"
}

// MarshalText writes a percentage.
func (r Ratio) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Ratio) UnmarshalText(text []byte) error { return r.FromScalar(string(text)) }

// ScalarDoc names the type for messages and schema.
func (Ratio) ScalarDoc() (name, example, pattern string) {
	return "ratio", "99.5%", `^([0-9]+(\.[0-9]*)?|\.[0-9]+)%?$`
}

// number reads a finite decimal number; the special spellings that strconv
// knows (hexadecimal, inf, underscores) are nothing a scenario should hold.
func number(text string) (float64, error) {
	if strings.ContainsAny(text, "xXpP_iInN") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

func trimFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// quote shows a user's text in a message, shortened where it is long.
func quote(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return strconv.Quote(text)
}
