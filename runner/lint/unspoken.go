package lint

import (
	"slices"
	"strings"
)

func init() {
	builtin(Rule{
		Name:    "unspoken-protocol",
		Summary: "A fault waits for something that is never said on that edge.",
		Doc: `A fault that sleeps (after) wakes up by what the proxy of an edge reads there. Methods, paths and statuses are read
of HTTP and gRPC only, numbers such as 503 of HTTP, names such as UNAVAILABLE of gRPC; error is seen on every edge.
Faults and checks on an edge that does not speak their protocol are refused by squall validate.`,
		find: unspoken,
	})
}

func unspoken(c *Case) {
	for _, f := range c.Scenario.Spec.Faults {
		after := f.Params.Get("after")
		protocols := map[string]bool{}
		for _, e := range c.System.EdgesNamed(after.Get("edge").Value()) {
			protocols[e.Protocol] = true
		}
		for _, key := range []string{"method", "path", "status"} {
			if n := after.Get(key); n.Value() != "" && len(protocols) > 0 && !understands(protocols, key, n.Value()) {
				c.report(n.Pos(), "%s speaks %s: %s %s is never seen there, so the fault never wakes up", after.Get("edge").Value(), words(protocols), key, n.Value())
			}
		}
	}
}

func understands(protocols map[string]bool, key, value string) bool {
	if key != "status" {
		return protocols["http"] || protocols["grpc"]
	}
	number := value[0] >= '0' && value[0] <= '9'
	return number && protocols["http"] || !number && protocols["grpc"]
}

func words(protocols map[string]bool) string {
	var names []string
	for p := range protocols {
		names = append(names, p)
	}
	slices.Sort(names)
	return strings.Join(names, " and ")
}
