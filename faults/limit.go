package faults

import "fmt"

// Lacks says why faults of the kind cannot be limited by a parameter that
// others are limited by and they do not take; empty where it limits none.
func (k Kind) Lacks(param string) string {
	switch param {
	case "after":
		return "only a proxy sees such events, and this is not done by one: use at:"
	case "from", "first", "every", "probability", "cap", "ramp", "method", "path", "header", "key":
	default:
		return ""
	}
	switch {
	case k.Whole != "":
		return k.Whole
	case param == "cap" || param == "ramp":
		return "it acts once, on all that first or probability choose"
	}
	return fmt.Sprintf("it acts on each %s, which has no %s", k.Unit, param)
}
