package faults

import (
	"fmt"
	"strconv"
	"strings"
)

// Rate is a number of events a second as a parameter: 40/s, 0.5/s.
type Rate float64

// FromScalar reads a parameter's text.
func (r *Rate) FromScalar(text string) error {
	num, perSecond := strings.CutSuffix(text, "/s")
	v, err := strconv.ParseFloat(num, 64)
	if err != nil || !perSecond || !(v > 0 && v <= 1e9) {
		return fmt.Errorf("%q is not a rate: write 40/s or 0.5/s", text)
	}
	*r = Rate(v)
	return nil
}

// String is the rate as people write it.
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'f', -1, 64) + "/s" }

// ScalarDoc describes the type for reference and schema.
func (Rate) ScalarDoc() (name, example, pattern string) {
	return "rate", "40/s", `^[0-9]+(\.[0-9]+)?/s$`
}
