package importer

import (
	"slices"
	"strconv"
	"strings"
)

// toxic says how a toxic of Toxiproxy becomes a fault: its kind, and which of its
// attributes are which parameters, in which unit.
type toxic struct {
	kind   string
	params []attribute
}

type attribute struct{ from, to, unit string }

var toxics = map[string]toxic{
	"latency":    {"net-latency", []attribute{{"latency", "latency", "ms"}, {"jitter", "jitter", "ms"}}},
	"bandwidth":  {"net-bandwidth", []attribute{{"rate", "rate", "KB/s"}}},
	"slow_close": {"net-slow-close", []attribute{{"delay", "delay", "ms"}}},
	"timeout":    {"net-timeout", nil},
	"slicer":     {"net-slicer", []attribute{{"average_size", "size", "B"}, {"size_variation", "variation", "B"}, {"delay", "delay", "us"}}},
	"limit_data": {"net-limit", []attribute{{"bytes", "bytes", "B"}}},
	"reset_peer": {"net-reset", nil},
	"down":       {"net-down", nil},
}

// shorthands are functions that make one toxic each, and the names of their
// arguments where those are not the attributes'.
var shorthands = map[string]struct {
	toxic   string
	renamed map[string]string
}{
	"create_latency_toxic":               {"latency", nil},
	"create_bandwith_degradation_toxic":  {"bandwidth", nil},
	"create_bandwidth_degradation_toxic": {"bandwidth", nil},
	"create_slow_connection_close_toxic": {"slow_close", nil},
	"create_timeout_toxic":               {"timeout", nil},
	"create_slicer_toxic":                {"slicer", nil},
	"create_limiter_toxic":               {"limit_data", map[string]string{"bytes": "bytes_limit"}},
	"create_reset_peer_toxic":            {"reset_peer", nil},
	"disable_proxy":                      {"down", nil},
	"delete_proxy":                       {"down", nil},
}

// toxiproxy is an action of the extension chaostoxi.
func (c *conversion) toxiproxy(a activity) {
	p := a.Provider
	proxy := c.arg(p, "for_proxy")
	if proxy == "" {
		proxy = c.arg(p, "proxy_name")
	}
	switch p.Func {
	case "delete_toxic":
		c.end(proxy, c.arg(p, "toxic_name"))
	case "enable_proxy":
		c.end(proxy, "")
	case "reset", "enable_all_proxies":
		c.endAll()
	case "create_proxy", "populate":
		c.lost("action %q: squall puts a proxy on every edge of the system file by itself", a.Name)
	case "create_toxic":
		attributes, _ := p.Arguments.(map[string]any)
		inner, _ := attributes["attributes"].(map[string]any)
		c.toxicOn(a, proxy, c.arg(p, "toxic_type"), func(key string) string {
			s, _ := scalar(inner[key])
			return c.fill(s)
		})
	default:
		s, known := shorthands[p.Func]
		if !known {
			c.lost("action %q: squall has nothing for %s", a.Name, p.Func)
			return
		}
		c.toxicOn(a, proxy, s.toxic, func(key string) string {
			if other := s.renamed[key]; other != "" {
				key = other
			}
			return c.arg(p, key)
		})
	}
}

func (c *conversion) toxicOn(a activity, proxy, kind string, attribute func(string) string) {
	t, known := toxics[kind]
	edge := c.edge(proxy)
	switch {
	case !known:
		c.lost("action %q: squall has no toxic %q", a.Name, kind)
		return
	case edge == "":
		c.lost("action %q: nothing says which edge of the system the proxy %q is on: --edge '%s=CALLER -> CALLEE'", a.Name, proxy, proxy)
		return
	}
	l := line{{"id", c.id(a.Name)}, {"kind", t.kind}, {"on", edge}}
	var params line
	for _, at := range t.params {
		if v := attribute(at.from); v != "" && v != "0" {
			params = append(params, pair{at.to, v + at.unit})
		}
	}
	if stream := c.arg(a.Provider, "stream"); stream == "upstream" && t.kind != "net-down" && t.kind != "net-reset" {
		params = append(params, pair{"stream", stream})
	}
	if share, err := strconv.ParseFloat(c.arg(a.Provider, "toxicity"), 64); err == nil && share > 0 && share < 1 && t.kind != "net-down" {
		params = append(params, pair{"probability", strconv.FormatFloat(share, 'f', -1, 64)})
	}
	if len(params) > 0 {
		l = append(l, pair{"params", params})
	}
	c.faults = append(c.faults, fault{line: l, proxy: proxy, toxic: c.arg(a.Provider, "toxic_name"), at: c.at})
}

// edge is where a proxy stands: as told, or where only one edge has its name.
func (c *conversion) edge(proxy string) string {
	if e := c.o.Edges[proxy]; e != "" {
		return e
	}
	var found []string
	plain := func(s string) string {
		return strings.NewReplacer("_", "-", ".", "-", " ", "", ">", "").Replace(strings.ToLower(s))
	}
	for _, e := range c.o.System.Spec.Edges {
		name := c.o.System.EdgeOf(e.Name())
		caller, callee, _ := strings.Cut(name, " -> ")
		for _, as := range []string{callee, caller + "-" + callee, caller + "-to-" + callee} {
			if proxy != "" && plain(proxy) == as && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	if len(found) != 1 {
		return ""
	}
	return found[0]
}

// end ends a fault where the method takes it back.
func (c *conversion) end(proxy, toxic string) {
	for i := range c.faults {
		if f := &c.faults[i]; f.until == 0 && f.proxy == proxy && (toxic == "" || f.toxic == toxic) {
			f.until = c.at
		}
	}
}

func (c *conversion) endAll() {
	for i := range c.faults {
		if f := &c.faults[i]; f.until == 0 && f.proxy != "" {
			f.until = c.at
		}
	}
}
