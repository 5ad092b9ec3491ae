package plan

import (
	"maps"
	"slices"

	"squall/faults"
	"squall/scenarios/spec"
)

// capability says of a link, a service or a zone why it lacks what a kind
// needs, in words that follow its name; "" where it has it. Without such a
// function none has it.
type capability struct {
	link    func(spec.Edge) string
	service func(*spec.System, spec.Service) string
	zone    bool
	serves  string // the service is called by links of that protocol
	login   bool   // the links lead to a database that squall may log in to
}

var capabilities = map[faults.Capability]capability{
	faults.NeedsLink:     {link: throughAny},
	faults.NeedsHTTPLink: {link: speaks("http")},
	faults.NeedsGRPCLink: {link: speaks("grpc")},
	faults.NeedsBus:      {link: speaks("nats")},
	faults.NeedsBusNode:  {service: startedByUs, serves: "nats"},
	faults.NeedsPostgres: {link: speaks("postgres")},
	faults.NeedsDatabase: {link: speaks("postgres"), login: true},
	faults.NeedsProcess:  {service: startedByUs},
	faults.NeedsData:     {service: hasCommand},
	faults.NeedsMemory:   {service: startedByUs},
	faults.NeedsClock:    {service: tellsClock},
	faults.NeedsService:  {service: func(*spec.System, spec.Service) string { return "" }},
	faults.NeedsZone:     {zone: true},
}

func speaks(protocol string) func(spec.Edge) string {
	return func(e spec.Edge) string {
		switch {
		case e.Protocol != protocol:
			return "speaks " + e.Protocol
		case e.Through != nil && e.Through.Toxiproxy != "":
			return "runs through a Toxiproxy server, which sees bytes only"
		}
		return throughAny(e)
	}
}

// throughAny wants a proxy on the edge; where squall puts them, there is one.
func throughAny(e spec.Edge) string {
	if e.Direct {
		return "runs through no proxy"
	}
	return ""
}

func hasCommand(_ *spec.System, s spec.Service) string {
	if s.External() {
		return "has no command"
	}
	return ""
}

// startedByUs wants a process that squall may signal and start.
func startedByUs(sys *spec.System, s spec.Service) string {
	switch sys.Spec.Target {
	case spec.TargetCompose, spec.TargetContainers:
		return ""
	case spec.TargetRemote:
		if s.Hooks == nil {
			return "has no hooks"
		}
		return ""
	}
	return hasCommand(sys, s)
}

func tellsClock(sys *spec.System, s spec.Service) string {
	if s.Clock == nil {
		return "has no clock.env"
	}
	return hasCommand(sys, s)
}

// aimed resolves what on names, and checks that it is there.
func (c *compiler) aimed(f spec.Fault, on string) (aim spec.Aim, names []string) {
	aim, err := spec.ParseAim(on)
	if err != nil {
		return aim, nil // decoding has told
	}
	names = c.sys.Targets(on)
	if strangers := c.strangers(aim); len(names) == 0 || len(strangers) > 0 {
		c.unknown(f, aim, strangers)
		return aim, nil
	}
	if idle := c.idle(aim); len(idle) > 0 {
		c.problem(f.Src.At("on"), "", "fault %s: %s has no calls between it and the other side of %q", f.ID, idle[0], on)
	}
	return aim, names
}

// targets resolves what a kind is aimed at, and checks that it can do what the
// kind needs.
func (c *compiler) targets(f spec.Fault, kind faults.Kind, on string) []string {
	aim, names := c.aimed(f, on)
	if len(names) == 0 {
		return nil
	}
	if why := c.lacks(kind, aim, on); why != "" {
		c.problem(f.Src.At("on"), "", "fault %s: %s needs a %s, %q %s", f.ID, kind.Name, kind.Needs, on, why)
		return nil
	}
	if kind.Once {
		names = names[:1]
	}
	return names
}

// lacks says why something that the aim means cannot do what the kind needs.
func (c *compiler) lacks(kind faults.Kind, aim spec.Aim, on string) string {
	has := capabilities[kind.Needs]
	_, zone := c.sys.Spec.Zones[on]
	switch {
	case aim.Calls():
		for _, e := range c.sys.EdgesNamed(on) {
			if has.link == nil {
				return "speaks " + e.Protocol
			}
			if why := has.link(e); why != "" {
				return why
			}
			if has.login && c.sys.Spec.Services[e.Callee].Database == nil {
				return "leads to " + e.Callee + ", whose database: is not in the system file"
			}
		}
	case zone && !has.zone && has.service == nil:
		return "is a zone"
	case !zone && has.service == nil:
		return "is a service"
	case has.service != nil:
		for _, name := range c.sys.Instances(on) {
			if why := has.service(c.sys, c.sys.Spec.Services[name]); why != "" {
				return why
			}
			if has.serves != "" && !c.serves(name, has.serves) {
				return "is called by no " + has.serves + " link"
			}
		}
	}
	return ""
}

func (c *compiler) serves(service, protocol string) bool {
	return slices.ContainsFunc(c.sys.Spec.Edges, func(e spec.Edge) bool { return e.Callee == service && e.Protocol == protocol })
}

// idle are the members of a side that take part in none of the calls: to name
// them is a mistake.
func (c *compiler) idle(aim spec.Aim) []string {
	if !aim.Calls() {
		return nil
	}
	var idle []string
	alone := func(name string, one spec.Aim) {
		if name != spec.Everything && len(c.sys.EdgesNamed(one.String())) == 0 {
			idle = append(idle, name)
		}
	}
	for _, name := range aim.From {
		alone(name, spec.Aim{From: []string{name}, To: aim.To, EitherWay: aim.EitherWay})
	}
	for _, name := range aim.To {
		alone(name, spec.Aim{From: aim.From, To: []string{name}, EitherWay: aim.EitherWay})
	}
	return idle
}

// strangers are the names that the system does not have.
func (c *compiler) strangers(aim spec.Aim) []string {
	return slices.DeleteFunc(aim.Names(), func(name string) bool {
		return len(c.sys.Instances(name)) > 0 || name == spec.Client && aim.Calls()
	})
}

// unknown says why nothing is meant: a name that is not there, or sides
// between which nobody calls.
func (c *compiler) unknown(f spec.Fault, aim spec.Aim, strangers []string) {
	services, edges := c.sys.Declared()
	names := slices.Concat(services, slices.Sorted(maps.Keys(c.sys.Spec.Zones)), slices.Sorted(maps.Keys(c.sys.Spec.Services)))
	if len(aim.From) > 1 || len(aim.To) > 1 || aim.EitherWay {
		for _, name := range strangers {
			if why := c.sys.Absent(name); why != "" {
				c.problem(f.Src.At("on"), "", "fault %s: %q is not part of the system: %s", f.ID, name, why)
			} else {
				c.problem(f.Src.At("on"), spec.Suggest(name, names), "fault %s: unknown target %q: no service or zone of %s", f.ID, name, c.sys.File)
			}
		}
		if len(strangers) == 0 {
			c.problem(f.Src.At("on"), "", "fault %s: nobody calls anybody between the sides of %q", f.ID, aim)
		}
		return
	}
	if why := c.sys.Absent(aim.String()); why != "" {
		c.problem(f.Src.At("on"), "", "fault %s: %q is not part of the system: %s", f.ID, aim, why)
		return
	}
	for _, e := range c.sys.Spec.Edges {
		edges = append(edges, e.Name())
	}
	if turned := (spec.Aim{From: aim.To, To: aim.From}).String(); aim.Calls() && len(c.sys.EdgesNamed(turned)) > 0 {
		c.problem(f.Src.At("on"), turned, "fault %s: nobody calls along %q: an edge goes from caller to callee", f.ID, aim)
		return
	}
	c.problem(f.Src.At("on"), spec.Suggest(aim.String(), append(edges, names...)), "fault %s: unknown target %q: no edge or service of %s", f.ID, aim, c.sys.File)
}
