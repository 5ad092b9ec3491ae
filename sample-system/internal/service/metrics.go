package service

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// meters are what every service measures of its own answers.
type meters struct {
	requests      *prometheus.HistogramVec
	expired, late *prometheus.CounterVec
}

func newMeters(h *Host) meters {
	return meters{
		requests: h.Histogram("http_server_request_duration_seconds", "Time to answer a request.", "route", "method", "code"),
		expired:  h.Counter("http_server_expired_total", "Requests refused because their caller's deadline had passed.", "route"),
		late:     h.Counter("http_server_late_total", "Answers whose caller's deadline had passed or who had gone.", "route"),
	}
}

func (m meters) request(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Observe(took.Seconds())
}

func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Histogram registers a native histogram of seconds; buckets grow by 10 %, so
// a quantile read from it is at most 10 % off at any scale.
func (h *Host) Histogram(name, help string, labels ...string) *prometheus.HistogramVec {
	return register(h, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help,
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels))
}

// Counter registers a counter.
func (h *Host) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	return register(h, prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels))
}

// Gauge registers a gauge.
func (h *Host) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(h, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels))
}

// GaugeFunc registers a gauge that is read at each scrape.
func (h *Host) GaugeFunc(name, help string, labels prometheus.Labels, read func() float64) {
	h.Metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, read))
}

// register returns what is already registered under the same name, so that
// several edges of one service can share a metric.
func register[C prometheus.Collector](h *Host, c C) C {
	err := h.Metrics.Register(c)
	if err == nil {
		return c
	}
	if already, ok := err.(prometheus.AlreadyRegisteredError); ok {
		return already.ExistingCollector.(C)
	}
	panic(err) // two metrics of one name and different labels: a mistake in the program
}
