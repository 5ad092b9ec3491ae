package spec

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

var (
	errMixed = errors.New("from and to are either both times of day or both instants")
	errDays  = errors.New("days go with times of day, not with instants")
	errOrder = errors.New("to is not after from")
)

func errZone(name string) error {
	return fmt.Errorf("there is no time zone %s: write UTC or Europe/Berlin", quote(name))
}

// edge is one end of a window.
type edge struct {
	daily bool
	at    time.Time // an instant; of a time of day its hour and minute on day zero
}

func (e edge) before(o edge) bool { return e.at.Before(o.at) }

func parseEdge(text string, zone *time.Location) (edge, error) {
	if t, err := time.ParseInLocation("15:04", text, zone); err == nil {
		return edge{daily: true, at: t}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return edge{at: t}, nil
	}
	return edge{}, fmt.Errorf("%s is neither a time of day nor an instant: write 09:30 or 2026-11-24T09:30:00Z", quote(text))
}

// edges are both ends of a window that has been read without problems.
func (w TimeWindow) edges() (from, to edge, zone *time.Location, ok bool) {
	zone, err := time.LoadLocation(w.Zone)
	if err != nil {
		return from, to, nil, false
	}
	from, fromErr := parseEdge(w.From, zone)
	to, toErr := parseEdge(w.To, zone)
	return from, to, zone, fromErr == nil && toErr == nil && from.daily == to.daily
}

// Contains reports whether an instant is in the window.
func (w TimeWindow) Contains(t time.Time) bool {
	from, to, zone, ok := w.edges()
	if !ok {
		return false
	}
	if !from.daily {
		return !t.Before(from.at) && t.Before(to.at)
	}
	t = t.In(zone)
	if len(w.Days) > 0 && !slices.Contains(w.Days, strings.ToLower(t.Weekday().String()[:3])) {
		return false
	}
	minute := func(t time.Time) int { return t.Hour()*60 + t.Minute() }
	return minute(t) >= minute(from.at) && minute(t) < minute(to.at)
}

// End is when the window ends that contains an instant.
func (w TimeWindow) End(t time.Time) time.Time {
	_, to, zone, ok := w.edges()
	if !ok || !to.daily {
		return to.at
	}
	t = t.In(zone)
	return time.Date(t.Year(), t.Month(), t.Day(), to.at.Hour(), to.at.Minute(), 0, 0, zone)
}

// String is the window in words.
func (w TimeWindow) String() string {
	days := ""
	if len(w.Days) > 0 {
		days = strings.Join(w.Days, ", ") + " "
	}
	return fmt.Sprintf("%s%s to %s %s", days, w.From, w.To, w.Zone)
}
