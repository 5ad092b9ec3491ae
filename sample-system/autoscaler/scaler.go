package autoscaler

import (
	"context"
	"log/slog"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"squall/sample-system/internal/registry"
	"squall/sample-system/internal/service"
)

// scaler is the loop: load, decision, action.
type scaler struct {
	resolver *registry.Resolver
	meter    *meter
	decider  decider
	fleet    *fleet
	book     *book
	log      *slog.Logger

	decisions *prometheus.CounterVec
	load      prometheus.Gauge
	instances *prometheus.GaugeVec
}

func newScaler(h *service.Host, watched string, r *registry.Resolver, f *fleet, p settings) *scaler {
	s := &scaler{
		resolver: r, fleet: f, decider: decider{settings: p},
		meter: newMeter(h), book: &book{service: watched}, log: h.Logger,
		decisions: h.Counter("autoscaler_decisions_total", "Decisions to add (out) or to remove (in) instances.", "direction"),
		load:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "autoscaler_load_requests_per_second", Help: "Load that decisions are made by."}),
		instances: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "autoscaler_instances", Help: "Instances, by who started them (base, autoscaler)."}, []string{"by"}),
	}
	h.Metrics.MustRegister(s.load, s.instances)
	return s
}

// run scales until ctx ends, and then ends what it has started.
func (s *scaler) run(ctx context.Context) error {
	runtime.LockOSThread() // of the children: see fleet
	defer runtime.UnlockOSThread()
	defer s.fleet.stopAll()
	tick := time.NewTicker(s.decider.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.step(ctx)
		}
	}
}

// step makes one decision. Without a sample it makes none: what is not known is
// no reason to act.
func (s *scaler) step(ctx context.Context) {
	for _, name := range s.fleet.reap() {
		s.book.add("died", -1, name, "ended by itself")
	}
	instances := s.resolver.Instances()
	load, ok := s.meter.rate(ctx, instances)
	if !ok {
		return
	}
	base := 0
	for _, i := range instances {
		if i.Ops != "" && !s.fleet.names[i.Name] {
			base++
		}
	}
	extra := len(s.fleet.running)
	want, why := s.decider.next(time.Now(), load, base, extra)
	s.act(want-extra, why)
	s.load.Set(load)
	s.instances.WithLabelValues("base").Set(float64(base))
	s.instances.WithLabelValues("autoscaler").Set(float64(len(s.fleet.running)))
}

// act adds (n > 0) or removes (n < 0) instances.
func (s *scaler) act(n int, why string) {
	switch {
	case n > 0:
		s.decisions.WithLabelValues("out").Inc()
		for range n {
			name, err := s.fleet.start()
			if err != nil {
				s.log.Error("instance not started", "error", err)
				return
			}
			s.note("out", 1, name, why)
		}
	case n < 0:
		s.decisions.WithLabelValues("in").Inc()
		s.note("in", -1, s.fleet.stop(), why)
	}
}

func (s *scaler) note(direction string, effect int, name, why string) {
	s.log.Info("scaled "+direction, "name", name, "why", why)
	s.book.add(direction, effect, name, why)
}
