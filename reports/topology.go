package reports

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
)

// Sizes of the map of services.
const (
	nodeWidth  = 122.0
	nodeHeight = 34.0
	rowSpace   = 62.0
)

// node is one service on the map.
type node struct {
	name      string
	layer     int
	order     float64
	instances int
	fault     string // on the service itself
	x, y      float64
}

// topology draws services and edges as the system file and the traces have
// them, with what went over each edge while the faults stood.
func topology(in Input) template.HTML {
	d := in.digest()
	if len(d.Edges) == 0 {
		return ""
	}
	m := &cityMap{edges: d.Edges, nodes: map[string]*node{}}
	for _, name := range d.Found {
		m.edges = append(slices.Clip(m.edges), edgeRow{Edge: name, Phases: make([]traffic, len(judgedPhases)), found: true})
	}
	for _, e := range m.edges {
		caller, callee, _ := strings.Cut(e.Edge, " -> ")
		m.node(in, caller)
		m.node(in, callee)
	}
	for _, f := range standings(in.Run) {
		for _, target := range f.Hits() {
			name := target
			if in.System != nil {
				name = in.System.ServiceOf(target)
			}
			if n := m.nodes[name]; n != nil && f.Injected != "" {
				n.fault = f.ID
			}
		}
	}
	m.layers()
	m.place()
	return m.draw()
}

type cityMap struct {
	picture
	edges  []edgeRow
	nodes  map[string]*node
	width  float64
	height float64
	labels [][4]float64 // boxes taken by labels
}

func (m *cityMap) node(in Input, name string) {
	if m.nodes[name] == nil {
		n := &node{name: name, layer: -1, instances: 1}
		if in.System != nil {
			n.instances = max(1, len(in.System.Instances(name)))
		}
		m.nodes[name] = n
	}
}

// names of all services, so that the map is always drawn the same.
func (m *cityMap) names() []string { return slices.Sorted(maps.Keys(m.nodes)) }

// layers puts each service as far right as it is from the client. What only
// calls, as consumers of a bus do, stands right of what it calls.
func (m *cityMap) layers() {
	next := []string{}
	for _, name := range m.names() {
		called := slices.ContainsFunc(m.edges, func(e edgeRow) bool { return strings.HasSuffix(e.Edge, " -> "+name) })
		if name == "client" || !called && m.nodes["client"] == nil {
			m.nodes[name].layer = 0
			next = append(next, name)
		}
	}
	for {
		for len(next) > 0 {
			name := next[0]
			next = next[1:]
			for _, e := range m.edges {
				caller, callee, _ := strings.Cut(e.Edge, " -> ")
				if n := m.nodes[callee]; caller == name && n.layer < 0 {
					n.layer = m.nodes[name].layer + 1
					next = append(next, callee)
				}
			}
		}
		for _, e := range m.edges { // a consumer, and what it calls in turn
			caller, callee, _ := strings.Cut(e.Edge, " -> ")
			if n := m.nodes[caller]; n.layer < 0 && m.nodes[callee].layer >= 0 {
				n.layer = m.nodes[callee].layer + 1
				next = append(next, caller)
				break
			}
		}
		if len(next) == 0 {
			break
		}
	}
	for _, n := range m.nodes {
		n.layer = max(n.layer, 0)
	}
}

// place orders each layer by where its neighbours are, twice there and back.
func (m *cityMap) place() {
	var layers [][]*node
	for _, name := range m.names() {
		n := m.nodes[name]
		for len(layers) <= n.layer {
			layers = append(layers, nil)
		}
		n.order = float64(len(layers[n.layer]))
		layers[n.layer] = append(layers[n.layer], n)
	}
	most := 0
	for _, l := range layers {
		most = max(most, len(l))
	}
	for range 4 {
		for _, l := range layers {
			for _, n := range l {
				n.order = m.barycentre(n)
			}
			slices.SortStableFunc(l, func(a, b *node) int {
				return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.name, b.name))
			})
			for i, n := range l {
				n.order = float64(i) + float64(most-len(l))/2
			}
		}
	}
	gap := (svgWidth - nodeWidth) / math.Max(1, float64(len(layers)-1))
	for i, l := range layers {
		for _, n := range l {
			n.x, n.y = float64(i)*math.Min(gap, 2.2*nodeWidth), 14+n.order*rowSpace
		}
	}
	m.width, m.height = svgWidth, 14+float64(most)*rowSpace
}

func (m *cityMap) barycentre(n *node) float64 {
	sum, count := 0.0, 0.0
	for _, e := range m.edges {
		caller, callee, _ := strings.Cut(e.Edge, " -> ")
		other := ""
		switch n.name {
		case caller:
			other = callee
		case callee:
			other = caller
		}
		if o := m.nodes[other]; o != nil && o.layer != n.layer {
			sum, count = sum+o.order, count+1
		}
	}
	if count == 0 {
		return n.order
	}
	return sum / count
}

func (m *cityMap) draw() template.HTML {
	var labels []func()
	for _, e := range m.edges {
		labels = append(labels, m.edge(e))
	}
	for _, name := range m.names() {
		n := m.nodes[name]
		colour, width := "currentColor", 1.0
		if n.fault != "" {
			colour, width = red, 2.5
		}
		m.add(`<rect x="%.1f" y="%.1f" width="%.0f" height="%.0f" rx="6" fill="Canvas" stroke="%s" stroke-width="%.1f"/>`, n.x+1, n.y, nodeWidth-2, nodeHeight, colour, width)
		text := shorten(n.name, 18)
		if n.instances > 1 {
			text = shorten(n.name, 14) + fmt.Sprintf(" ×%d", n.instances)
		}
		m.text(n.x+nodeWidth/2, n.y+nodeHeight/2+4, "middle", text, `font-weight="600"`)
		if n.fault != "" {
			m.text(n.x+nodeWidth/2, n.y+nodeHeight+12, "middle", shorten("⚡ "+n.fault, 22), fmt.Sprintf(`font-size="11" font-weight="600" fill="%s" `, red)+halo)
		}
	}
	for _, label := range labels {
		label()
	}
	m.legend()
	return m.whole(m.width, m.height, "Map of the services and of what went over each edge while the faults stood", "")
}

// edge draws one curve and returns what writes its label, above everything else.
func (m *cityMap) edge(e edgeRow) func() {
	caller, callee, _ := strings.Cut(e.Edge, " -> ")
	a, b := m.nodes[caller], m.nodes[callee]
	t := e.Phases[slices.Index(judgedPhases, "fault")]
	colour, width, dash := "currentColor", 1.2, ""
	opacity := 0.4
	switch {
	case len(e.Faults) > 0:
		colour, width, opacity = red, 3, 1
	case t.Errors > 0 && t.ErrorShare() >= 0.01 || t.Retries > 0:
		colour, width, opacity = orange, 2, 1
	case t.Calls == 0:
		opacity = 0.2
	}
	switch {
	case e.found:
		dash = ` stroke-dasharray="9 4"`
	case len(e.Asserted) == 0:
		dash = ` stroke-dasharray="2 4"`
	}
	x1, x2, bend1, bend2, tip := a.x+nodeWidth, b.x, 1.0, -1.0, -1.0
	switch {
	case a.layer == b.layer:
		x2, bend2, tip = b.x+nodeWidth, 1, 1
	case a.layer > b.layer:
		x1, x2, bend1, bend2, tip = a.x, b.x+nodeWidth, -1, 1, 1
	}
	y1, y2 := m.port(a, b, caller, true), m.port(b, a, callee, false)
	reach := math.Max(36, math.Abs(x2-x1)*0.45)
	end := x2 + tip*7
	px := [4]float64{x1, x1 + bend1*reach, end + bend2*reach, end}
	py := [4]float64{y1, y1, y2, y2}
	m.add(`<path d="M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f" fill="none" stroke="%s" stroke-opacity="%.1f" stroke-width="%.1f"%s><title>%s</title></path>`,
		px[0], py[0], px[1], py[1], px[2], py[2], px[3], py[3], colour, opacity, width, dash, escape(e.words(t)))
	m.add(`<path d="M%.1f %.1fl%.1f -4v8z" fill="%s" fill-opacity="%.1f"/>`, x2, y2, tip*8, colour, opacity)
	text := e.label(t)
	return func() {
		if text == "" {
			return
		}
		w := textWidth(text, 10.5)
		for _, at := range []float64{0.5, 0.35, 0.65, 0.22, 0.78} {
			x, y := bezier(px, at), bezier(py, at)
			x = min(max(x, w/2+2), svgWidth-w/2-2)
			if m.free(x-w/2, y-8, x+w/2, y+6) || at == 0.78 {
				fill := "currentColor"
				if len(e.Faults) > 0 {
					fill = red
				}
				m.text(x, y+3, "middle", text, fmt.Sprintf(`font-size="10.5" font-weight="600" fill="%s" `, fill)+halo)
				return
			}
		}
	}
}

// mostPorts is how many ends of edges a side of a box has room for.
const mostPorts = 4

// port spreads the ends of edges along the side of a box, in the order of where
// they lead to; more than there is room for meet in one point.
func (m *cityMap) port(n, other *node, name string, out bool) float64 {
	var ys []float64
	for _, e := range m.edges {
		caller, callee, _ := strings.Cut(e.Edge, " -> ")
		if out && caller == name {
			ys = append(ys, m.nodes[callee].y)
		}
		if !out && callee == name {
			ys = append(ys, m.nodes[caller].y)
		}
	}
	slices.Sort(ys)
	i := slices.Index(ys, other.y)
	if len(ys) < 2 || len(ys) > mostPorts {
		return n.y + nodeHeight/2
	}
	return n.y + 6 + (nodeHeight-12)*float64(i)/float64(len(ys)-1)
}

func bezier(p [4]float64, t float64) float64 {
	u := 1 - t
	return u*u*u*p[0] + 3*u*u*t*p[1] + 3*u*t*t*p[2] + t*t*t*p[3]
}

// free takes a box for a label, if no other label and no service is there.
func (m *cityMap) free(x1, y1, x2, y2 float64) bool {
	hits := func(b [4]float64) bool { return x1 < b[2] && x2 > b[0] && y1 < b[3] && y2 > b[1] }
	for _, b := range m.labels {
		if hits(b) {
			return false
		}
	}
	for _, n := range m.nodes {
		if hits([4]float64{n.x, n.y, n.x + nodeWidth, n.y + nodeHeight}) {
			return false
		}
	}
	m.labels = append(m.labels, [4]float64{x1, y1, x2, y2})
	return true
}

// label is what is worth reading on the map: faults, errors and retries.
func (e edgeRow) label(t traffic) string {
	var parts []string
	if len(e.Faults) > 0 {
		parts = append(parts, "⚡ "+strings.Join(e.Faults, ", "))
	}
	if t.Errors > 0 {
		parts = append(parts, percent(t.ErrorShare())+" errors")
	}
	if t.Retries > 0 {
		parts = append(parts, percent(t.RetryShare())+" retries")
	}
	return shorten(strings.Join(parts, " · "), 44)
}

// words is all there is to say of an edge.
func (e edgeRow) words(t traffic) string {
	s := fmt.Sprintf("%s: %d calls under the fault, %s errors, %s retries", e.Edge, t.Calls, percent(t.ErrorShare()), percent(t.RetryShare()))
	switch {
	case e.found:
		s += "; seen in traces, not in the system file"
	case len(e.Asserted) == 0:
		s += "; nothing is asserted of it"
	default:
		s += "; asserted by " + strings.Join(e.Asserted, ", ")
	}
	return s
}

func (m *cityMap) legend() {
	y := m.height + 8
	x := 0.0
	for _, l := range []struct{ line, word string }{
		{fmt.Sprintf(`stroke="%s" stroke-width="3"`, red), "faulted"},
		{fmt.Sprintf(`stroke="%s" stroke-width="2"`, orange), "errors or retries"},
		{`stroke="currentColor" stroke-opacity="0.5"`, "something is asserted of it"},
		{`stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="2 4"`, "nothing is asserted of it"},
		{`stroke="currentColor" stroke-opacity="0.5" stroke-dasharray="9 4"`, "in traces only"},
	} {
		m.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" %s/>`, x, x+30, y, y, l.line)
		m.text(x+36, y+4, "start", l.word, `font-size="11" fill-opacity="0.85"`)
		x += 56 + textWidth(l.word, 11)
	}
	m.height = y + 14
}
