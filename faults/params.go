package faults

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time as a parameter; it needs its unit: 250ms, 3s.
type Duration time.Duration

// FromScalar reads a parameter's text.
func (d *Duration) FromScalar(text string) error {
	v, err := time.ParseDuration(text)
	if err != nil {
		if _, bare := strconv.ParseFloat(text, 64); bare == nil {
			return fmt.Errorf("%q needs a unit: write 250ms or 3s", text)
		}
		return fmt.Errorf("%q is not a duration: write 250ms or 3s", text)
	}
	if v < 0 {
		return fmt.Errorf("%q is negative", text)
	}
	*d = Duration(v)
	return nil
}

// String is the duration as people write it.
func (d Duration) String() string { return time.Duration(d).String() }

// ScalarDoc describes the type for reference and schema.
func (Duration) ScalarDoc() (name, example, pattern string) {
	return "duration", "250ms", `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
}

// Ratio is a share as a parameter: 0.3 or 30%.
type Ratio float64

// FromScalar reads a parameter's text.
func (r *Ratio) FromScalar(text string) error {
	num, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(num, 64)
	if err != nil {
		return fmt.Errorf("%q is not a ratio: write 0.3 or 30%%", text)
	}
	if percent {
		v /= 100
	}
	if !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is outside 0..1: write 0.3 or 30%%", text)
	}
	*r = Ratio(v)
	return nil
}

// String is the ratio in percent.
func (r Ratio) String() string { return strconv.FormatFloat(float64(r)*100, 'f', -1, 64) + "%" }

// ScalarDoc describes the type for reference and schema.
func (Ratio) ScalarDoc() (name, example, pattern string) {
	return "ratio", "30%", `^(0(\.[0-9]+)?|1(\.0+)?|[0-9]{1,2}(\.[0-9]+)?%|100(\.0+)?%)$`
}

// checkHeaders refuses what would end a header field early.
func checkHeaders(hs map[string]string) error {
	for _, k := range slices.Sorted(maps.Keys(hs)) {
		if k == "" || strings.ContainsAny(k, " :\r\n") || strings.ContainsAny(hs[k], "\r\n") {
			return fmt.Errorf("header %q is malformed", k)
		}
	}
	return nil
}
