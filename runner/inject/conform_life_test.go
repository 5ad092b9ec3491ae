package inject

func init() {
	conform(entry{kind: "net-partition", on: "client | echo", caller: echo, hit: silence, receipt: connections})
	conform(entry{kind: "outage", on: "echo", params: map[string]any{"how": "hang"}, caller: echo, hit: silence, receipt: connections})
	conform(entry{kind: "zone-loss", on: "north", caller: web, hit: silence, receipt: func(seen []use) uint64 { return connections(seen) + 2 }})
}
