package scaffold

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"

	"squall/scenarios/spec"
)

// Choice is what a template is filled with: names of the system.
type Choice struct {
	Name   string // of the scenario
	System string // system file, relative to the scenario
	Script string // likewise
	Schema string // folder of the JSON Schemas, likewise

	Edge   string // the HTTP call that is broken: orders -> payments
	Client string // the edge that the load goes through: client -> gateway
	SLO    string
	Queue  string // ledger source with the dead letters; empty: there is none
	Books  string // ledger source that operations are accounted by; empty: none

	Switches []string // of the system that are on

	Operation string // of the load script, that the SLO counts

	sys *spec.System
}

// Choose fills in what is not chosen yet from the system as it is run; its file
// is found from the folder of the scenario.
func (c Choice) Choose(sys *spec.System) (Choice, error) {
	c.sys = sys
	inner, outer := c.edges("http", false), c.edges("http", true)
	c.Client = cmp.Or(c.Client, first(outer))
	c.Edge = cmp.Or(c.Edge, first(inner), c.Client)
	if c.Edge == "" {
		return c, fmt.Errorf("%s has no http edge to break", sys.File)
	}
	if len(sys.EdgesNamed(c.Edge)) == 0 {
		_, edges := sys.Declared()
		return c, fmt.Errorf("%s has no edge %q%s", sys.File, c.Edge, didYouMean(c.Edge, edges))
	}
	c.Edge = sys.EdgeOf(sys.EdgesNamed(c.Edge)[0].Name())
	slos := sorted(sys.SLOs)
	c.SLO = cmp.Or(c.SLO, first(slos))
	slo, known := sys.SLOs[c.SLO]
	if !known {
		return c, fmt.Errorf("%s has no SLO %q%s: name its OpenSLO files under slos", sys.File, c.SLO, didYouMean(c.SLO, slos))
	}
	if m := operationPattern.FindStringSubmatch(slo.Total); m != nil {
		c.Operation = m[1]
	}
	return c, c.sources()
}

var operationPattern = regexp.MustCompile(`operation="([^"]+)"`)

// sources checks the ledger sources that were chosen.
func (c Choice) sources() error {
	known := sorted(c.sys.Spec.Ledger)
	for _, name := range []string{c.Books, c.Queue} {
		if name != "" && !slices.Contains(known, name) {
			return fmt.Errorf("%s has no ledger source %q%s", c.sys.File, name, didYouMean(name, known))
		}
	}
	return nil
}

// has says what a template needs and the system lacks.
func (c Choice) has(need string) error {
	if need == "traces" && c.sys.Spec.Traces == nil {
		return fmt.Errorf("needs traces, %s does not say how services export them (traces: {env: OTEL_EXPORTER_OTLP_ENDPOINT})", c.sys.File)
	}
	protocol := map[string]string{"bus": "nats", "database": "postgres"}[need]
	if protocol != "" && len(c.edges(protocol, false)) == 0 {
		return fmt.Errorf("needs an edge with protocol: %s, %s has none", protocol, c.sys.File)
	}
	return nil
}

// edges are the declared edges of a protocol, of the client or between services.
func (c Choice) edges(protocol string, client bool) []string {
	var out []string
	for _, e := range c.sys.Spec.Edges {
		name := c.sys.EdgeOf(e.Name())
		if e.Protocol == protocol && (e.Caller == spec.Client) == client && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

func (c Choice) end(edge string, callee bool) string {
	caller, to, _ := spec.SplitEdge(edge)
	if callee {
		return to
	}
	return caller
}

// Caller and Callee are the services at the ends of the edge; Instance is one of
// the callee's, or the callee where there is only one.
func (c Choice) Caller() string { return c.end(c.Edge, false) }

// Callee is the service that the edge leads to.
func (c Choice) Callee() string { return c.end(c.Edge, true) }

// Instance is an instance of the callee.
func (c Choice) Instance() string { return first(c.sys.Instances(c.Callee())) }

// Bus is an edge to a broker, of the caller where it has one.
func (c Choice) Bus() string { return c.pick("nats") }

// BusClient is the service at the near end of the bus.
func (c Choice) BusClient() string { return c.end(c.Bus(), false) }

// Broker is the service at the far end of the bus.
func (c Choice) Broker() string { return c.end(c.Bus(), true) }

// BusInstance is one link to the broker.
func (c Choice) BusInstance() string {
	return c.BusClient() + " -> " + first(c.sys.Instances(c.Broker()))
}

// Database is an edge to a database, of the caller where it has one.
func (c Choice) Database() string { return c.pick("postgres") }

// DatabaseServer is the instance that it leads to.
func (c Choice) DatabaseServer() string { return first(c.sys.Instances(c.end(c.Database(), true))) }

// Subject is one to publish to: only the reader knows a better one.
func (c Choice) Subject() string { return "events.all" }

// Ready is the readiness path of the caller.
func (c Choice) Ready() string {
	return cmp.Or(c.sys.Spec.Services[first(c.sys.Instances(c.Caller()))].Ready.HTTP, "/")
}

// OnceInBooks asserts that operations are in the books exactly once; without
// books, that users were served.
func (c Choice) OnceInBooks() string {
	if c.Books == "" || c.Operation == "" {
		return fmt.Sprintf("{id: still-served, slo: %s, during: fault, atLeast: 60%%}", c.SLO)
	}
	return fmt.Sprintf("{id: once, ledger: {operation: %s, accountedBy: [%s]}}", c.Operation, c.Books)
}

func (c Choice) pick(protocol string) string {
	all := c.edges(protocol, false)
	for _, e := range all {
		if c.end(e, false) == c.Caller() {
			return e
		}
	}
	return first(all)
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}
