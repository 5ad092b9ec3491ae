// How many instances there should be.
//
// Answers: a load that the instances there are cannot carry, without a person
// who notices. What is wanted is load / target, rounded up, as the Kubernetes
// autoscaler reckons.
// Numbers: a sample a second (SCALE_EVERY). Out when two in a row want more than
// there is, by a tenth at least: a burst of one second starts nobody, a step of
// load has its new instances within 3 s. In one at a time, when no sample of the
// last 30 s wanted as many (SCALE_IDLE): starting one is dearer than keeping
// one. 100 requests/s per instance is what two cores carry beside all the rest.
// At most two are added (SCALE_MAX): they share those cores.
// Costs: up to 30 s of an instance too many.
// Breaks without it: TestPolicy. Off switch: do not start
// the service.

package autoscaler

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"squall/sample-system/internal/service"
)

// tolerance is how far above the target a load may be before it counts.
const tolerance = 0.1

// settings are what the operator wants.
type settings struct {
	target float64       // requests/s per instance
	most   int           // instances to add at most
	idle   time.Duration // how long fewer must have been enough
	every  time.Duration // between samples
}

// settingsOf reads SCALE_TARGET (requests/s per instance), SCALE_MAX (how many to
// add at most), SCALE_IDLE (how long one too many is kept) and SCALE_EVERY
// (between samples).
func settingsOf(c service.Config) (settings, error) {
	p := settings{target: 100, most: 2, idle: 30 * time.Second, every: time.Second}
	var err error
	if v := c.Getenv("SCALE_TARGET"); v != "" {
		if p.target, err = strconv.ParseFloat(v, 64); err != nil || !(p.target > 0) {
			return p, fmt.Errorf("configure %s: SCALE_TARGET is %q, want requests/s above 0", c.Name, v)
		}
	}
	if v := c.Getenv("SCALE_MAX"); v != "" {
		if p.most, err = strconv.Atoi(v); err != nil || p.most < 1 || p.most > 20 {
			return p, fmt.Errorf("configure %s: SCALE_MAX is %q, want 1 to 20", c.Name, v)
		}
	}
	for name, d := range map[string]struct {
		into  *time.Duration
		least time.Duration
	}{"SCALE_IDLE": {&p.idle, time.Second}, "SCALE_EVERY": {&p.every, 100 * time.Millisecond}} {
		if v := c.Getenv(name); v != "" {
			if *d.into, err = time.ParseDuration(v); err != nil || *d.into < d.least {
				return p, fmt.Errorf("configure %s: %s is %q, want at least %s", c.Name, name, v, d.least)
			}
		}
	}
	return p, nil
}

// decider applies the settings to samples of the load.
type decider struct {
	settings
	above  int    // samples in a row that wanted more
	wanted []want // of the last idle time
}

type want struct {
	at    time.Time
	extra int
}

// next takes a sample and says how many instances there should be beyond the
// base ones, and why if that is not how many there are.
func (d *decider) next(now time.Time, load float64, base, extra int) (int, string) {
	wanted := d.extra(load, base, extra)
	d.remember(now, wanted)
	if wanted > extra {
		if d.above++; d.above < 2 {
			return extra, ""
		}
		d.above = 0
		return wanted, fmt.Sprintf("%.0f requests/s, more than %d instances carry at %.0f each", load, base+extra, d.target)
	}
	d.above = 0
	if most, known := d.mostWanted(now); known && most < extra {
		d.wanted = nil // the next one has to wait as long
		return extra - 1, fmt.Sprintf("%d instances were enough for %s", base+most, d.idle)
	}
	return extra, ""
}

// extra is what a load wants beyond the base instances.
func (d *decider) extra(load float64, base, extra int) int {
	wanted := load / d.target
	if here := float64(base + extra); wanted > here && wanted <= here*(1+tolerance) {
		wanted = here
	}
	return min(max(int(math.Ceil(wanted))-base, 0), d.most)
}

func (d *decider) remember(now time.Time, extra int) {
	d.wanted = append(d.wanted, want{now, extra})
	for len(d.wanted) > 1 && now.Sub(d.wanted[1].at) >= d.idle {
		d.wanted = d.wanted[1:]
	}
}

// mostWanted is the highest of the last idle time; not known before that has
// passed.
func (d *decider) mostWanted(now time.Time) (most int, known bool) {
	for _, w := range d.wanted {
		most = max(most, w.extra)
	}
	return most, now.Sub(d.wanted[0].at) >= d.idle
}
