package proxy

import "github.com/prometheus/client_golang/prometheus"

// The metrics a server exposes.
var (
	descConnections = desc("connections_total", "Connections accepted.", "proxy")
	descLive        = desc("connections", "Connections now.", "proxy")
	descBytes       = desc("bytes_total", "Bytes passed on, by direction.", "proxy", "direction")
	descHits        = desc("stage_hits", "What a stage has affected so far, in its unit.", "proxy", "stage", "unit")
	descDelay       = desc("stage_delay_seconds", "Delays that a stage delivered.", "proxy", "stage")
	descDropped     = desc("wire_dropped_total", "Wire log lines that readers were too slow for.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("squall_proxy_"+name, help, labels, nil)
}

// collector reads a server's counters when it is scraped.
type collector struct{ s *Server }

// Describe implements prometheus.Collector.
func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descConnections, descLive, descBytes, descHits, descDelay, descDropped} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter(descDropped, float64(c.s.wire.dropped.Load()))
	for _, l := range c.s.all() {
		counter(descConnections, float64(l.connections.Load()), l.name)
		gauge(descLive, float64(len(l.live())), l.name)
		counter(descBytes, float64(l.bytesUp.Load()), l.name, "upstream")
		counter(descBytes, float64(l.bytesDown.Load()), l.name, "downstream")
		for _, st := range l.current().stages {
			gauge(descHits, float64(st.hits.Load()), l.name, st.id, st.unit())
			if d := st.delays.summary(); d != nil {
				out <- prometheus.MustNewConstSummary(descDelay, d.N, d.Sum.Seconds(),
					map[float64]float64{0.5: d.P50.Seconds(), 0.9: d.P90.Seconds(), 0.99: d.P99.Seconds()}, l.name, st.id)
			}
		}
	}
}
