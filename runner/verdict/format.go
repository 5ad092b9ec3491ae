package verdict

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxDetails bounds the details of a finding.
const maxDetails = 20

// percent prints a ratio. What is not quite everything never prints as 100%.
func percent(v float64) string {
	s := trimmed(v*100, 2)
	if (s == "100" && v < 1) || (s == "0" && v > 0) {
		s = trimmed(v*100, 4)
	}
	return s + "%"
}

// trimmed prints v with at most that many decimals.
func trimmed(v float64, decimals int) string {
	s := strconv.FormatFloat(v, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" {
		return "0"
	}
	return s
}

// seconds prints a length of time held in seconds.
func seconds(v float64) string {
	if math.IsInf(v, 0) || math.Abs(v) > math.MaxInt64/1e9 {
		return strconv.FormatFloat(v, 'g', -1, 64) + "s"
	}
	return short(time.Duration(v * float64(time.Second)))
}

// short prints a duration with the precision people read.
func short(d time.Duration) string {
	switch abs := d.Abs(); {
	case abs < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case abs < 100*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	case abs < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

// plural prints a count with its noun, which takes an s.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// bounded adds lines to details up to the limit, and says how many it left out.
func bounded(lines []string) []string {
	if len(lines) <= maxDetails {
		return lines
	}
	left := len(lines) - maxDetails + 1
	return append(lines[:maxDetails-1:maxDetails-1], fmt.Sprintf("and %d more", left))
}
