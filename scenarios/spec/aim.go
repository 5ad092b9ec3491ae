package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Aim is what a fault is aimed at: services, or all calls between two sides.
// A side is a list of services, instances and zones, "client", or * for
// whatever is not on the other side.
//
//	orders                            a service, an instance or a zone
//	orders -> payments                calls of one to the other
//	orders, payments -> nats          calls of several
//	orders, payments | nats, catalog  calls between two sides, either way
//	* -> orders                       all calls of one
type Aim struct {
	From, To  []string // To is empty where no calls are meant
	EitherWay bool
}

// Everything is the side that holds whatever the other side does not.
const Everything = "*"

// ParseAim reads what a scenario says under on.
func ParseAim(text string) (Aim, error) {
	for sign, form := range map[string]string{"->": "caller -> callee", "|": "one, two | three, four"} {
		from, to, found := strings.Cut(text, sign)
		if !found {
			continue
		}
		a := Aim{From: sideOf(from), To: sideOf(to), EitherWay: sign == "|"}
		if !isSide(a.From) || !isSide(a.To) || slices.Equal(a.From, []string{Everything}) && slices.Equal(a.To, a.From) {
			return Aim{}, fmt.Errorf("%s is not an edge: write %s", quote(text), form)
		}
		return a, nil
	}
	a := Aim{From: []string{strings.TrimSpace(text)}}
	if !patterns["name"].re.MatchString(a.From[0]) {
		return Aim{}, fmt.Errorf("%s is neither a service (orders) nor an edge (orders -> payments)", quote(text))
	}
	return a, nil
}

func sideOf(text string) []string {
	names := strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

func isSide(names []string) bool {
	if slices.Equal(names, []string{Everything}) {
		return true
	}
	return !slices.ContainsFunc(names, func(n string) bool { return !patterns["name"].re.MatchString(n) })
}

// Calls reports whether calls are meant, and not services.
func (a Aim) Calls() bool { return len(a.To) > 0 }

// String is the aim as scenarios are to write it.
func (a Aim) String() string {
	switch from, to := strings.Join(a.From, ", "), strings.Join(a.To, ", "); {
	case !a.Calls():
		return from
	case a.EitherWay:
		return from + " | " + to
	default:
		return from + " -> " + to
	}
}

// Names are those that the aim gives, in their order.
func (a Aim) Names() []string {
	return slices.DeleteFunc(slices.Concat(a.From, a.To), func(n string) bool { return n == Everything })
}

// EdgesNamed are the edges between instances that a name means, see Aim:
// "orders -> payments" all of them, "orders-1 -> payments" those of one caller.
func (s *System) EdgesNamed(name string) Edges {
	a, err := ParseAim(name)
	if err != nil || !a.Calls() {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.Spec.Edges), func(e Edge) bool {
		return !s.joins(e, a.From, a.To) && !(a.EitherWay && s.joins(e, a.To, a.From))
	})
}

func (s *System) joins(e Edge, from, to []string) bool {
	return s.onSide(e.Caller, from, to) && s.onSide(e.Callee, to, from)
}

// onSide reports whether an instance belongs to a side.
func (s *System) onSide(instance string, side, other []string) bool {
	if slices.Equal(side, []string{Everything}) {
		return !s.onSide(instance, other, side)
	}
	return slices.ContainsFunc(side, func(name string) bool {
		return name == instance || name == s.ServiceOf(instance) || slices.Contains(s.Spec.Zones[name], instance)
	})
}

// Targets are the instances, or the edges between instances, that a name means.
func (s *System) Targets(name string) []string {
	if a, err := ParseAim(name); err != nil || !a.Calls() {
		return s.Instances(name)
	}
	var out []string
	for _, e := range s.EdgesNamed(name) {
		out = append(out, e.Name())
	}
	return out
}
