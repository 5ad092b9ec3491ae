package faults

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// Bytes is an amount of data as a parameter; it needs its unit: 512B, 64KB, 1MiB.
// KB is 1,000 bytes and KiB 1,024.
type Bytes int64

// ByteRate is data over time as a parameter, in bytes a second: 100KB/s, 1MiB/s.
type ByteRate int64

// byteUnits in the order in which an amount is printed, if others are no shorter.
var byteUnits = []struct {
	name string
	size int64
}{
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
}

var bytesText = regexp.MustCompile(`^(\d+(?:\.\d+)?)([KMG]i?)?B$`)

// parseBytes reads an amount of whole bytes.
func parseBytes(text string) (int64, bool) {
	m := bytesText.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, false
	}
	for _, u := range byteUnits {
		if u.name == m[2]+"B" {
			n *= float64(u.size)
		}
	}
	return int64(n), n == math.Trunc(n) && n < 1<<53
}

// bytesString is the shortest way to write an amount exactly.
func bytesString(n int64) string {
	digits, unit := strconv.FormatInt(n, 10), "B"
	for _, u := range byteUnits {
		if d := strconv.FormatInt(n/u.size, 10); n%u.size == 0 && len(d) < len(digits) {
			digits, unit = d, u.name
		}
	}
	return digits + unit
}

// FromScalar reads a parameter's text.
func (b *Bytes) FromScalar(text string) error {
	n, ok := parseBytes(text)
	if !ok {
		return fmt.Errorf("%q is not an amount of data: write 512B, 64KB or 1MiB", text)
	}
	*b = Bytes(n)
	return nil
}

// String is the amount as people write it.
func (b Bytes) String() string { return bytesString(int64(b)) }

// ScalarDoc describes the type for reference and schema.
func (Bytes) ScalarDoc() (name, example, pattern string) {
	return "bytes", "64KB", `^[0-9]+(\.[0-9]+)?([KMG]i?)?B$`
}

// FromScalar reads a parameter's text.
func (r *ByteRate) FromScalar(text string) error {
	amount, perSecond := strings.CutSuffix(text, "/s")
	n, ok := parseBytes(amount)
	if !ok || !perSecond {
		return fmt.Errorf("%q is not a data rate: write 100KB/s or 1MiB/s (bytes, not bits)", text)
	}
	*r = ByteRate(n)
	return nil
}

// String is the rate as people write it.
func (r ByteRate) String() string { return bytesString(int64(r)) + "/s" }

// ScalarDoc describes the type for reference and schema.
func (ByteRate) ScalarDoc() (name, example, pattern string) {
	return "data rate", "100KB/s", `^[0-9]+(\.[0-9]+)?([KMG]i?)?B/s$`
}
