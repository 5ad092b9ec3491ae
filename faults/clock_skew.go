package faults

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ClockSkewParams are the parameters of clock-skew.
type ClockSkewParams struct {
	Offset Offset `yaml:"offset" spec:"required" doc:"How far its clock is ahead (+2m) or behind (-30s)."`
}

// Offset is a length of time with a direction as a parameter: +2m, -30s.
type Offset time.Duration

// FromScalar reads a parameter's text.
func (o *Offset) FromScalar(text string) error {
	if !strings.HasPrefix(text, "+") && !strings.HasPrefix(text, "-") {
		return fmt.Errorf("%q needs a sign: write +2m (ahead) or -30s (behind)", text)
	}
	var d Duration
	if err := d.FromScalar(text[1:]); err != nil {
		return err
	}
	*o = Offset(d)
	if text[0] == '-' {
		*o = -*o
	}
	return nil
}

// String is the offset as people write it.
func (o Offset) String() string {
	if o < 0 {
		return time.Duration(o).String()
	}
	return "+" + time.Duration(o).String()
}

// ScalarDoc describes the type for reference and schema.
func (Offset) ScalarDoc() (name, example, pattern string) {
	return "offset", "+2m", `^[+-]([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
}

func newClockSkew(decode func(any) error) (Fault, error) {
	var p ClockSkewParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	if p.Offset == 0 {
		return nil, errors.New("offset is zero")
	}
	return holdFault{says: "clock " + p.Offset.String(), hold: Hold{Clock: time.Duration(p.Offset)}}, nil
}

func init() {
	builtin(Kind{
		Name:    "clock-skew",
		Summary: "sets a service's clock ahead or behind",
		Needs:   NeedsClock,
		Whole:   "a service has one clock",
		Params:  ClockSkewParams{},
		Doc: `The service is told by a variable, clock.env in the system file, of a file that holds the offset of its clock in
seconds ("+120"). The fault replaces that file in one step. Programs that are linked dynamically obey it unchanged when libfaketime
is preloaded: clock: {env: FAKETIME_TIMESTAMP_FILE}, LD_PRELOAD and FAKETIME_CACHE_DURATION=1 in env; others read the file themselves.
Receipt: how often, at least, the file was read with the new offset in it; what the process makes of it is not seen.
Undo: the former offset is written; it counts as gone then, which a process that caches the offset sees a little later.`,
		New:    newClockSkew,
		Revert: revertHold,
	})
}
