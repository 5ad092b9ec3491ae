package observability_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fires are the alerts that fire during a history, each with the first and the
// last moment, evaluated as Prometheus does at the example's interval: an alert
// is pending from the first evaluation in which its expression has a result, and
// fires when it has had one for as long as its "for" says.
//
// Prometheus' own rule manager is not used: with it comes the Alertmanager's
// client, which the shop does without.
func fires(t *testing.T, h history, from, to time.Duration) map[string]span {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promql3})
	interval := time.Duration(readConfig(t).Global.EvaluationInterval)
	fired := map[string]span{}
	for _, rule := range alerts(t) {
		since := map[uint64]time.Duration{}
		for at := from; at <= to; at += interval {
			query, err := engine.NewInstantQuery(t.Context(), h.queryable(), nil, rule.Expr, time.UnixMilli(at.Milliseconds()))
			require.NoError(t, err)
			result := query.Exec(t.Context())
			vector, err := result.Vector()
			require.NoError(t, err, rule.Alert)
			active := map[uint64]time.Duration{}
			for _, sample := range vector {
				id := sample.Metric.Hash()
				if begun, ok := since[id]; ok {
					active[id] = begun
				} else {
					active[id] = at
				}
				if at-active[id] >= time.Duration(rule.For) {
					fired[rule.Alert] = fired[rule.Alert].with(at)
				}
			}
			since = active
			query.Close()
		}
	}
	return fired
}

// span is from the first to the last evaluation in which an alert fired.
type span struct{ first, last time.Duration }

func (s span) with(at time.Duration) span {
	if s == (span{}) {
		s.first = at
	}
	s.last = at
	return s
}

func names(fired map[string]span) (list []string) {
	for name := range fired {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

const checkouts = 20.0 // a second

// quiet is a shop in which all is well, for the given time.
func quiet(length time.Duration) history {
	h := history{length: length}
	for _, instance := range []string{"gateway", "orders-1", "payments-1", "payments-2"} {
		h.gauge(`up{job="x",instance="`+instance+`"}`, always(1))
		h.gauge(`service_ready{job="x",instance="`+instance+`"}`, always(1))
	}
	h.requests(`http_server_request_duration_seconds{job="gateway",route="/checkout",code="201"}`, 0.05, always(checkouts))
	h.requests(`http_client_request_duration_seconds{job="orders",edge="orders -> payments",code="201"}`, 0.02, always(checkouts))
	h.counter(`retry_attempts_total{job="orders",edge="orders -> payments"}`, always(0.02*checkouts))
	h.counter(`http_server_shed_total{job="orders",instance="orders-1"}`, always(0))
	h.counter(`dlq_messages_total{job="notifications",consumer="notifications"}`, always(0))
	h.counter(`db_refused_total{job="orders",instance="orders-1",pool="orders"}`, always(0))
	for name, v := range map[string]float64{
		`breaker_state{job="orders",instance="orders-1",edge="orders -> payments"}`:                  0,
		`db_connections_in_use{job="orders",instance="orders-1",pool="orders"}`:                      3,
		`db_connections_max{job="orders",instance="orders-1",pool="orders"}`:                         8,
		`http_client_connections_in_use{job="orders",instance="orders-1",edge="orders -> payments"}`: 2,
		`http_client_connections_max{job="orders",instance="orders-1",edge="orders -> payments"}`:    64,
		`registry_stale{job="orders",instance="orders-1",callee="payments"}`:                         0,
		`bus_consumer_lag{job="notifications",instance="notifications",consumer="notifications"}`:    4,
		`outbox_pending{job="orders",instance="orders-1"}`:                                           5,
		`saga_pending{job="orders",instance="orders-1"}`:                                             4,
		`identity_certificate_not_before_seconds{job="orders",instance="orders-1"}`:                  0,
		`identity_certificate_not_after_seconds{job="orders",instance="orders-1"}`:                   1e9,
	} {
		h.gauge(name, always(v))
	}
	return h
}

// TestOutageOf20Seconds: after 50 minutes of quiet payments is killed, all
// checkouts fail for 20 s, and a supervisor starts it again. A person is paged
// because a service is down and because customers feel it. The budget is not
// worth paging for: 20 s are less than 1 % of its window, where 14.4 % count.
func TestOutageOf20Seconds(t *testing.T) {
	const begin, end = 50 * time.Minute, 50*time.Minute + 20*time.Second
	during := func(in, out float64) rate {
		return func(at time.Duration) float64 {
			if at >= begin && at < end {
				return in
			}
			return out
		}
	}
	h := quiet(begin + 3*time.Minute)
	h.gauge(`up{job="x",instance="payments-1"}`, during(0, 1))
	h.gauge(`breaker_state{job="orders",instance="orders-1",edge="orders -> payments"}`, during(2, 0))
	h.requests(`http_server_request_duration_seconds{job="gateway",route="/checkout",code="201"}`, 0.05, during(0, checkouts))
	h.requests(`http_server_request_duration_seconds{job="gateway",route="/checkout",code="503"}`, 0.01, during(checkouts, 0))

	fired := fires(t, h, begin-20*time.Second, begin+2*time.Minute)
	assert.Equal(t, []string{"BreakerOpen", "CheckoutsFail", "ServiceDown"}, names(fired))
	assert.Equal(t, span{begin + 10*time.Second, end - 5*time.Second}, fired["ServiceDown"], "paged 10 s after the kill")
	for name, f := range fired {
		assert.LessOrEqual(t, f.first, begin+25*time.Second, name)
		assert.LessOrEqual(t, f.last, end+time.Minute, "%s goes on for too long", name)
	}
}

// TestAlerts: each alert fires for what it is there for, and nothing else does.
func TestAlerts(t *testing.T) {
	const change, usual = 5 * time.Minute, 7 * time.Minute
	step := func(before, after float64) rate {
		return func(at time.Duration) float64 {
			if at < change {
				return before
			}
			return after
		}
	}
	seen := map[string]bool{}
	for name, test := range map[string]struct {
		length time.Duration // 0: usual
		change func(h *history)
		want   []string
	}{
		"quiet":     {0, func(*history) {}, nil},
		"down":      {0, func(h *history) { h.gauge(`up{job="x",instance="payments-2"}`, step(1, 0)) }, []string{"ServiceDown"}},
		"not ready": {0, func(h *history) { h.gauge(`service_ready{job="x",instance="payments-2"}`, step(1, 0)) }, []string{"NotReady"}},
		"a fifth of checkouts fails": {2 * time.Hour, func(h *history) {
			h.requests(`http_server_request_duration_seconds{job="gateway",route="/checkout",code="503"}`, 0.05, always(checkouts/4))
		}, []string{"CheckoutsFail", "ErrorBudgetBurnFast", "ErrorBudgetBurnSlow"}},
		"a twelfth fails": {6 * time.Hour, func(h *history) {
			h.requests(`http_server_request_duration_seconds{job="gateway",route="/checkout",code="503"}`, 0.05, always(checkouts/11))
		}, []string{"ErrorBudgetBurnSlow"}},
		"slow": {0, func(h *history) {
			h.requests(`http_server_request_duration_seconds{job="gateway",route="/checkout",code="200"}`, 2, step(0, checkouts/10))
		}, []string{"HighLatency"}},
		"overload": {0, func(h *history) {
			h.counter(`http_server_shed_total{job="orders",instance="orders-1"}`, step(0, 5))
		}, []string{"Shedding"}},
		"breaker that probes": {0, func(h *history) {
			h.gauge(`breaker_state{job="orders",instance="orders-1",edge="orders -> payments"}`, func(at time.Duration) float64 {
				return step(0, 2-math.Mod(at.Seconds()/5, 2))(at)
			})
		}, []string{"BreakerOpen"}},
		"retries": {0, func(h *history) {
			h.counter(`retry_attempts_total{job="orders",edge="orders -> payments"}`, step(0, 0.2*checkouts))
		}, []string{"RetryStorm"}},
		"database pool used up": {0, func(h *history) {
			h.gauge(`db_connections_in_use{job="orders",instance="orders-1",pool="orders"}`, step(3, 8))
		}, []string{"ConnectionPoolExhausted"}},
		"database pool refuses": {0, func(h *history) {
			h.counter(`db_refused_total{job="orders",instance="orders-1",pool="orders"}`, step(0, 3))
		}, []string{"ConnectionPoolExhausted"}},
		"HTTP pool leaks": {0, func(h *history) {
			h.gauge(`http_client_connections_in_use{job="orders",instance="orders-1",edge="orders -> payments"}`, step(2, 64))
		}, []string{"ConnectionPoolExhausted"}},
		"registry away": {0, func(h *history) {
			h.gauge(`registry_stale{job="orders",instance="orders-1",callee="payments"}`, step(0, 1))
		}, []string{"RegistryStale"}},
		"a dead letter": {0, func(h *history) {
			h.gauge(`dlq_messages_total{job="notifications",consumer="notifications"}`, step(0, 1))
		}, []string{"DeadLetters"}},
		"lag": {0, func(h *history) {
			h.gauge(`bus_consumer_lag{job="notifications",instance="notifications",consumer="notifications"}`, step(4, 500))
		}, []string{"ConsumerLag"}},
		"outbox": {0, func(h *history) { h.gauge(`outbox_pending{job="orders",instance="orders-1"}`, step(5, 300)) }, []string{"OutboxStuck"}},
		"sagas":  {0, func(h *history) { h.gauge(`saga_pending{job="orders",instance="orders-1"}`, step(4, 60)) }, []string{"SagasStuck"}},
		"first rollback": {0, func(h *history) {
			h.gauge(`gateway_rollbacks_total{job="gateway",instance="gateway",callee="catalog",kind="canary"}`, step(math.NaN(), 1))
		}, []string{"RolledBack"}},
		"second rollback": {0, func(h *history) {
			h.gauge(`gateway_rollbacks_total{job="gateway",instance="gateway",callee="catalog",kind="canary"}`, step(1, 2))
		}, []string{"RolledBack"}},
		"issuer away": {0, func(h *history) {
			h.gauge(`identity_certificate_not_after_seconds{job="orders",instance="orders-1"}`, always(400))
		}, []string{"CertificateAboutToExpire"}},
		"wrong identity": {0, func(h *history) {
			h.gauge(`identity_refused_total{job="payments",instance="payments-1",caller="reviews",callee="payments",reason="not_allowed"}`, step(math.NaN(), 1))
		}, []string{"IdentityRefused"}},
	} {
		t.Run(name, func(t *testing.T) {
			if test.length == 0 {
				test.length = usual
			}
			h := quiet(test.length)
			test.change(&h)
			fired := fires(t, h, test.length-(usual-change)-15*time.Second, test.length)
			assert.Equal(t, test.want, names(fired))
			for name := range fired {
				seen[name] = true
			}
		})
	}
	for _, rule := range alerts(t) {
		assert.True(t, seen[rule.Alert], "no case raises %s", rule.Alert)
	}
}
