package registry

import (
	"strconv"
	"strings"
)

// ways are the addresses by which a client reaches the instances of a service:
// from its environment, where a deployment, a mesh or a fault proxy may have put
// its own, or else what the instance itself has registered.
type ways struct {
	callee string
	listed []string // base URLs, the n-th of instance n
	getenv func(string) string
}

func newWays(callee, addresses string, getenv func(string) string) ways {
	w := ways{callee: callee, getenv: getenv}
	for a := range strings.SplitSeq(addresses, ",") {
		if a = strings.TrimSpace(a); a != "" {
			w.listed = append(w.listed, base(a))
		}
	}
	return w
}

// placeholders are the instances that the list promises, before any has
// registered.
func (w ways) placeholders() []Instance {
	var known []Instance
	for i, way := range w.listed {
		name := w.callee + "-" + strconv.Itoa(i+1)
		if len(w.listed) == 1 {
			name = w.callee
		}
		_, addr, _ := strings.Cut(way, "://")
		known = append(known, Instance{Service: w.callee, Name: name, Addr: addr, Weight: 1})
	}
	return known
}

// to is the base URL for an instance: by its number in the list, by the variable
// of its own name (CATALOG_CANARY_URL), or where it says it listens.
func (w ways) to(i Instance) string {
	if n := w.ordinal(i.Name); n > 0 && n <= len(w.listed) {
		return w.listed[n-1]
	}
	variable := strings.ToUpper(strings.ReplaceAll(i.Name, "-", "_")) + "_URL"
	if a := w.getenv(variable); a != "" && i.Name != w.callee {
		return base(a)
	}
	return base(i.Addr)
}

// ordinal is 2 for "payments-2", 1 for "payments" itself and 0 for a name
// without a number.
func (w ways) ordinal(name string) int {
	if name == w.callee {
		return 1
	}
	number, ok := strings.CutPrefix(name, w.callee+"-")
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return 0
	}
	return n
}

func base(address string) string {
	address = strings.TrimRight(address, "/")
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address
}
