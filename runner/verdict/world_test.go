package verdict_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

var started = time.Unix(1_700_000_000, 0)

const (
	edge = "payments -> psp-primary"
	rate = 40 // operations per second
)

// The phases of every world.
const (
	baseline = 2 * time.Second
	fault    = 8 * time.Second
	recovery = 18 * time.Second
	settle   = 28 * time.Second
	end      = 30 * time.Second
)

const systemText = `apiVersion: squall/v1
kind: System
metadata: {name: shop}
spec:
  target: process
  traces: {env: OTLP}
  services:
    gateway: {command: [shop], ports: [http]}
    payments: {command: [shop], ports: [http], metrics: /metrics}
    psp-primary: {command: [shop], ports: [http]}
    nats: {command: [shop], ports: [client]}
  edges:
    client -> gateway: {protocol: http, env: GATEWAY_URL}
    gateway -> payments: {protocol: http, env: PAYMENTS_URL}
    payments -> psp-primary: {protocol: http, env: PSP_URL}
    payments -> nats: {protocol: nats, env: NATS_URL, port: client}
  ledger:
    charges: {service: payments, path: /audit/charges}
    reservations: {service: payments, path: /audit/reservations}
    orders: {service: payments, path: /audit/orders}
    dlq: {service: payments, path: /audit/dlq}
    money-a: {service: payments, path: /audit/a}
    money-b: {service: payments, path: /audit/b}
    money: {of: [money-a, money-b]}
`

func system(t *testing.T) *spec.System {
	t.Helper()
	sys, ps := spec.ParseSystem("system.yaml", []byte(systemText))
	require.Empty(t, ps)
	sys.SLOs = map[string]spec.SLO{
		"checkout": {Name: "checkout", Target: 0.99,
			Good:  `sum(squall_operations_total{operation="checkout",outcome="ok"})`,
			Total: `sum(squall_operations_total{operation="checkout"})`},
		"checkout-bad": {Name: "checkout-bad", Target: 0.99,
			Bad:   `sum(squall_operations_total{operation="checkout",outcome!="ok"})`,
			Total: `sum(squall_operations_total{operation="checkout"})`},
		"made-up": {Name: "made-up", Target: 0.99, Bad: `sum(no_such_total)`, Total: `sum(squall_operations_total)`},
	}
	sys.Alerts = map[string]spec.AlertRule{"Fails": {Expr: "up == 0"}}
	return sys
}

func scenarioText(steady, expect, guardrails string) string {
	if steady == "" {
		steady = "{id: ok, slo: checkout}"
	}
	return fmt.Sprintf(`apiVersion: squall/v1
kind: Scenario
metadata: {name: s}
spec:
  hypothesis: The shop sells.
  system: system.yaml
  load: {script: s.js, arrival: %d/s}
  phases: {warmup: 2s, baseline: 6s, fault: 10s, recovery: 10s}
  faults:
    - {id: slow, kind: net-latency, on: payments -> psp-primary}
  steady:
    - %s
  expect:
    - %s
  guardrails: [%s]
`, rate, steady, expect, guardrails)
}

func scenario(t *testing.T, expect string) *spec.Scenario {
	t.Helper()
	return parse(t, scenarioText("", expect, ""))
}

func parse(t *testing.T, text string) *spec.Scenario {
	t.Helper()
	sc, ps := spec.Parse("s.yaml", []byte(text))
	require.Empty(t, ps)
	return sc
}

// world makes records. By default it is a clean run of a shop that survives:
// every operation is ok, with one request on every edge.
type world struct {
	stop    time.Duration // nothing has happened after this; the run goes on
	outcome func(t time.Duration) record.Outcome
	started func(t time.Duration) bool // whether the load begins an operation
	wire    func(t time.Duration, id string) []record.Exchange
	dropped func(t time.Duration) int // iterations dropped so far
	audit   []record.AuditRow
	events  []record.FaultEvent
	edit    func(*record.Run)
}

func newWorld() *world {
	return &world{
		stop:    end,
		outcome: func(time.Duration) record.Outcome { return record.OK },
		started: func(time.Duration) bool { return true },
		dropped: func(time.Duration) int { return 0 },
		wire:    func(t time.Duration, id string) []record.Exchange { return []record.Exchange{request(edge, t, id)} },
		events:  faultEvents("slow", "net-latency", edge, record.Receipt{Hits: 412, Unit: "requests"}),
		edit:    func(*record.Run) {},
	}
}

func faultEvents(id, kind, on string, receipt record.Receipt) []record.FaultEvent {
	event := func(at time.Duration, s record.FaultState, r *record.Receipt) record.FaultEvent {
		return record.FaultEvent{T: at, Fault: record.Fault{ID: id, Kind: kind, On: on, State: s, Receipt: r}}
	}
	return []record.FaultEvent{
		event(fault, record.FaultIntent, nil),
		event(fault, record.FaultInjected, nil),
		event(fault+300*time.Millisecond, record.FaultBiting, &receipt),
		event(recovery, record.FaultReverted, &receipt),
		event(recovery+10*time.Millisecond, record.FaultGone, nil),
	}
}

func nanos(t time.Duration) int64 { return started.Add(t).UnixNano() }

func request(edge string, t time.Duration, op string) record.Exchange {
	return record.Exchange{At: nanos(t), Dur: int64(10 * time.Millisecond), Edge: edge, Method: "POST", Path: "/charges", Status: 200, Op: op, Sent: true}
}

// run builds the record as a reader would have read it.
func (w *world) run() *record.Run {
	r := &record.Run{Header: record.Header{Run: "r", Started: started}, Last: min(w.stop, end)}
	for _, p := range []record.Span{
		{Name: "warmup", From: 0, To: baseline}, {Name: "baseline", From: baseline, To: fault},
		{Name: "fault", From: fault, To: recovery}, {Name: "recovery", From: recovery, To: settle}, {Name: "settle", From: settle, To: end},
	} {
		if p.From < w.stop {
			p.Open = p.To > w.stop
			p.To = min(p.To, w.stop)
			r.Phases = append(r.Phases, p)
		}
	}
	for _, e := range w.events {
		if e.T <= w.stop {
			r.Faults = append(r.Faults, e)
		}
	}
	r.Loads = []record.LoadEvent{{Load: record.Load{Event: "started", Arrival: rate}}, {Load: record.Load{Event: "flowing", Arrival: rate}}}
	if w.stop > settle {
		r.Loads = append(r.Loads, record.LoadEvent{T: settle, Load: record.Load{Event: "stopped"}})
	}
	w.traffic(r)
	w.scrapes(r)
	if w.stop >= end {
		r.Audit = w.audit
		r.End = &record.End{Reason: record.EndDone}
	}
	w.edit(r)
	return r
}

func (w *world) traffic(r *record.Run) {
	for i := range int(settle.Seconds()) * rate {
		at := time.Duration(i) * time.Second / rate
		if at >= w.stop || !w.started(at) {
			continue
		}
		id := fmt.Sprintf("op-%04d", i)
		r.Operations = append(r.Operations, record.Operation{At: nanos(at), Dur: int64(20 * time.Millisecond), Name: "checkout", ID: id, First: true, Outcome: w.outcome(at)})
		r.Exchanges = append(r.Exchanges, request("client -> gateway", at, id), request("gateway -> payments", at, id))
		r.Exchanges = append(r.Exchanges, w.wire(at, id)...)
	}
}

const iterationsID = 4

// The series of the world's scrapes.
var worldSeries = []record.Series{
	{ID: 1, Labels: map[string]string{"__name__": "squall_operations_total", "operation": "checkout", "outcome": "ok"}, Type: "counter"},
	{ID: 2, Labels: map[string]string{"__name__": "squall_operations_total", "operation": "checkout", "outcome": "failed"}, Type: "counter"},
	{ID: 3, Labels: map[string]string{"__name__": "squall_operations_total", "operation": "checkout", "outcome": "unknown"}, Type: "counter"},
	{ID: iterationsID, Labels: map[string]string{"__name__": "k6_iterations_total"}, Type: "counter"},
	{ID: 5, Labels: map[string]string{"__name__": "k6_dropped_iterations_total"}, Type: "counter"},
}

func (w *world) scrapes(r *record.Run) {
	done, i := map[record.Outcome]int{}, 0
	for at := time.Duration(0); at <= min(w.stop, settle); at += 250 * time.Millisecond {
		for ; i < len(r.Operations) && r.T(r.Operations[i].At) < at; i++ {
			done[r.Operations[i].Outcome]++
		}
		values := []int{done[record.OK], done[record.Failed], done[record.Unknown], i, w.dropped(at)}
		k6 := record.Scrape{At: nanos(at), Source: "k6", Up: true}
		svc := record.Scrape{At: nanos(at), Source: "payments", Up: true}
		if at == 0 {
			k6.New = worldSeries
			for j, instance := range []string{"a", "b"} {
				svc.New = append(svc.New, record.Series{ID: uint32(10 + j), Labels: map[string]string{"__name__": "queue_depth", "shard": instance}, Type: "gauge"})
				svc.V = append(svc.V, record.Value{ID: uint32(10 + j), V: record.Float(3 + 2*j)})
			}
		}
		for j, v := range values {
			k6.V = append(k6.V, record.Value{ID: worldSeries[j].ID, V: record.Float(v)})
		}
		r.Scrapes = append(r.Scrapes, k6, svc)
	}
}

func judge(t *testing.T, sc *spec.Scenario, w *world) verdict.Result {
	t.Helper()
	return judgeOn(t, system(t), sc, w)
}

func judgeOn(t *testing.T, sys *spec.System, sc *spec.Scenario, w *world) verdict.Result {
	t.Helper()
	j, ps := verdict.NewJudge(sc, sys)
	require.Empty(t, ps)
	return j.Judge(context.Background(), w.run())
}

// check judges one assertion, whose id is x.
func check(t *testing.T, expect string, w *world) verdict.Finding {
	t.Helper()
	return find(t, judge(t, scenario(t, expect), w), "x")
}

func find(t *testing.T, r verdict.Result, id string) verdict.Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.ID == id {
			return f
		}
	}
	require.Fail(t, "no finding "+id)
	return verdict.Finding{}
}

func books(source string, ok bool, note string) record.ProbeEvent {
	return record.ProbeEvent{Probe: record.Probe{Name: verdict.BooksProbe(source), OK: ok, Note: note}}
}

func in(t, from, to time.Duration) bool { return t >= from && t < to }
