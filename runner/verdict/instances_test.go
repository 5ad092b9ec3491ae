package verdict_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
	"squall/runner/verdict"
	"squall/scenarios/spec"
)

// pooled is the same system with two instances of payments, a switch that
// makes its edges opaque, and a service that is not always there.
func pooled(t *testing.T, switches ...spec.Choice) *spec.System {
	t.Helper()
	text := strings.NewReplacer(
		"payments: {command: [shop], ports: [http], metrics: /metrics}", "payments: {command: [shop], ports: [http], metrics: /metrics, replicas: 2}",
		"    nats:", "    tracker: {command: [shop], ports: [http], when: tracking}\n    nats:",
		"  ledger:", "    payments -> tracker: {protocol: http, env: TRACKER_URL}\n  switches: {identity: {protocol: tcp}, tracking: {}}\n  ledger:\n    steps: {service: tracker, path: /audit/steps}",
	).Replace(systemText)
	declared, ps := spec.ParseSystem("system.yaml", []byte(text))
	require.Empty(t, ps)
	sys, ps := declared.With(switches...)
	require.Empty(t, ps)
	sys.SLOs = system(t).SLOs
	return sys
}

// twoProviders is the same system with a backup of psp-primary.
func twoProviders(t *testing.T) *spec.System {
	t.Helper()
	text := strings.NewReplacer(
		"    nats: {", "    psp-backup: {command: [shop], ports: [http]}\n    nats: {",
		"    payments -> nats", "    payments -> psp-backup: {protocol: http, env: BACKUP_URL}\n    payments -> nats",
	).Replace(systemText)
	sys, ps := spec.ParseSystem("system.yaml", []byte(text))
	require.Empty(t, ps)
	sys.SLOs = system(t).SLOs
	return sys
}

// shared spreads the calls of a world over two instances of payments, as spread
// says of the nth exchange of an edge.
func shared(w *world, spread func(n int) string) *world {
	edit := w.edit
	w.edit = func(r *record.Run) {
		edit(r)
		n := map[string]int{}
		for i := range r.Exchanges {
			x := &r.Exchanges[i]
			n[x.Edge]++
			x.Edge = strings.ReplaceAll(x.Edge, "payments", spread(n[x.Edge]))
		}
		for i := range r.Faults {
			r.Faults[i].Targets = []string{"payments-1 -> psp-primary", "payments-2 -> psp-primary"}
		}
		for i := range r.Scrapes {
			if r.Scrapes[i].Source == "payments" {
				r.Scrapes[i].Source = "payments-1"
			}
		}
		if w.stop >= end {
			r.Scrapes = append(r.Scrapes, record.Scrape{At: nanos(end), Source: "payments-2", Up: true})
		}
	}
	return w
}

func inTurns(n int) string { return []string{"payments-1", "payments-2"}[n%2] }

func checkPooled(t *testing.T, expect string, w *world) verdict.Finding {
	t.Helper()
	return find(t, judgeOn(t, pooled(t), scenario(t, expect), w), "x")
}

func TestEdgeOfInstancesIsJudgedAsOne(t *testing.T) {
	f := checkPooled(t, "{id: x, breaker: {edge: payments -> psp-primary, opensWithin: 3s, closesWithin: 5s}}", shared(tripping(600*time.Millisecond, 2*time.Second, 1), inTurns))
	assert.Equal(t, []any{verdict.Pass, "opened after 575ms, closed after 2s", edge}, []any{f.Verdict, f.Measured, f.Edge})

	f = checkPooled(t, "{id: x, retry: {edge: payments -> psp-primary, attemptsAtMost: 2}}", shared(retrying(10, 3), inTurns))
	assert.Equal(t, verdict.Fail, f.Verdict)
	assert.Equal(t, "a call on payments -> psp-primary was attempted 3 times, at most 2 are allowed", f.Why)
	assert.Equal(t, "3 attempts, amplification 1.18 over 400 calls", f.Measured, "attempts on two links are attempts of one call")
	f = checkPooled(t, "{id: x, retry: {edge: payments-1 -> psp-primary, attemptsAtMost: 2}}", shared(retrying(10, 3), inTurns))
	assert.Equal(t, verdict.Pass, f.Verdict, "and on one of them there are fewer: %s", f.Why)
	assert.Equal(t, "payments-1 -> psp-primary", f.Edge)

	f = checkPooled(t, "{id: x, retry: {edge: gateway -> payments, attemptsAtMost: 1}}", shared(callingTwice(), inTurns))
	require.NotEmpty(t, f.Details)
	assert.Contains(t, f.Details[0], " payments-1 503, +100ms payments-2 200", "who answered what")
}

// callingTwice repeats every tenth call of the gateway.
func callingTwice() *world {
	w := newWorld()
	usual, i := w.wire, 0
	w.wire = func(t time.Duration, id string) []record.Exchange {
		xs := usual(t, id)
		if i++; i%10 == 0 {
			again := request("gateway -> payments", t+100*time.Millisecond, id)
			xs = append(xs, again)
		}
		return xs
	}
	w.edit = func(r *record.Run) {
		first := map[string]*record.Exchange{}
		for i := range r.Exchanges {
			x := &r.Exchanges[i]
			if x.Edge != "gateway -> payments" {
				continue
			}
			if f := first[x.Op]; f != nil {
				f.Status = 503
			}
			first[x.Op] = x
		}
	}
	return w
}

// Each instance has a breaker of its own: six trial calls of two are three of each.
func TestTrialCallsAreCountedPerCaller(t *testing.T) {
	const trials = "{id: x, breaker: {edge: payments -> psp-primary, trialCallsAtMost: 3}}"
	f := checkPooled(t, trials, shared(tripping(600*time.Millisecond, time.Second, 6), inTurns))
	assert.Equal(t, verdict.Pass, f.Verdict, f.Why)
	assert.Equal(t, "opened after 575ms, at most 3 trial calls at a time", f.Measured)

	f = checkPooled(t, trials, shared(tripping(600*time.Millisecond, time.Second, 5), func(n int) string {
		if n < 300 {
			return inTurns(n)
		}
		return "payments-2"
	}))
	assert.Equal(t, verdict.Fail, f.Verdict)
	assert.Equal(t, "the open breaker on payments -> psp-primary let 5 calls of payments-2 through at once at 10.6s, at most 3 are allowed", f.Why)
}

func TestFaultOnInstancesIsAFaultOnTheirEdges(t *testing.T) {
	hidden := shared(tripping(600*time.Millisecond, time.Second, 1), inTurns)
	edit := hidden.edit
	hidden.edit = func(r *record.Run) {
		edit(r)
		for i := range r.Faults {
			r.Faults[i].Kind, r.Faults[i].Targets = "net-down", []string{"payments-2 -> psp-primary"}
		}
	}
	f := checkPooled(t, "{id: x, breaker: {edge: payments -> psp-primary}}", hidden)
	assert.Contains(t, f.Why, "net-down refuses connections")
	f = checkPooled(t, "{id: x, breaker: {edge: payments-1 -> psp-primary, opensWithin: 3s}}", hidden)
	assert.Equal(t, verdict.Pass, f.Verdict, "the other link can be seen: %s", f.Why)
}

func TestInstancesThatAFaultKillsDoNotDieByThemselves(t *testing.T) {
	died := func(on string) verdict.Finding {
		w := shared(newWorld(), inTurns)
		edit := w.edit
		w.edit = func(r *record.Run) {
			edit(r)
			r.Processes = append(r.Processes, record.ProcessEvent{T: fault + time.Second, Process: record.Process{Service: "payments-2", Event: "exited", Detail: "signal killed"}})
		}
		sc := parse(t, strings.Replace(scenarioText("", still, ""), "on: payments -> psp-primary", "on: "+on, 1))
		return find(t, judgeOn(t, pooled(t), sc, w), "processes")
	}
	assert.Equal(t, verdict.Pass, died("payments").Verdict)
	assert.Equal(t, verdict.Pass, died("payments-2").Verdict)
	other := died("payments-1")
	assert.Equal(t, verdict.Fail, other.Verdict)
	assert.Equal(t, "payments-2 died at 9.0s: signal killed", other.Why)
}

func TestEveryInstanceIsScraped(t *testing.T) {
	w := shared(newWorld(), inTurns)
	edit := w.edit
	w.edit = func(r *record.Run) {
		edit(r)
		r.Scrapes = r.Scrapes[:len(r.Scrapes)-1]
	}
	f := find(t, judgeOn(t, pooled(t), scenario(t, still), w), "scrapes")
	assert.Equal(t, "no metrics from payments-2", f.Why)
}

func TestWhatIsNotPartOfTheSystemIsSaid(t *testing.T) {
	for expect, want := range map[string]string{
		"{id: x, retry: {edge: payments -> tracker, expectNone: true}}":    "s.yaml:14:29: edge payments -> tracker is not part of the system: tracker: it is there only with switch tracking",
		"{id: x, retry: {edge: payments-3 -> nats, expectNone: true}}":     `s.yaml:14:29: unknown edge payments-3 -> nats (did you mean "payments-1 -> nats"?)`,
		"{id: x, retry: {edge: payment -> psp-primary, expectNone: true}}": `s.yaml:14:29: unknown edge payment -> psp-primary (did you mean "payments -> psp-primary"?)`,
		"{id: x, ledger: {operation: checkout, accountedBy: [steps]}}":     `ledger source "steps" is not part of the system: tracker: it is there only with switch tracking`,
		"{id: x, retry: {edge: payments -> nats, expectNone: true}}":       "s.yaml:14:29: edge payments -> nats speaks nats; retry needs requests, so an http edge",
		"{id: x, retry: {edge: payments-2 -> psp-primary, method: POST}}":  "s.yaml:14:22: retry needs attemptsAtMost, amplificationAtMost, expectNone, spacingGrows, jitter, finalNotRepeated or keyed",
	} {
		ps := verdict.Check(scenario(t, expect), pooled(t))
		require.Len(t, ps, 1, expect)
		assert.Contains(t, ps[0].Error(), want)
	}
	ps := verdict.Check(scenario(t, "{id: x, breaker: {edge: payments -> psp-primary}}"), pooled(t, spec.Choice{Name: "identity"}, spec.Choice{Name: "tracking"}))
	require.Len(t, ps, 1)
	assert.Equal(t, "s.yaml:14:31: edge payments -> psp-primary speaks tcp with identity and tracking on; breaker needs requests, so an http edge", ps[0].Error())
}

// A run that was not begun says why in every finding, and is neither good nor bad.
func TestSkipped(t *testing.T) {
	const why = "no program postgres on this machine (required by postgres)"
	w := newWorld()
	w.edit = func(r *record.Run) {
		*r = record.Run{Header: r.Header, End: &record.End{Reason: record.EndSkipped, Error: why}}
	}
	sc := parse(t, scenarioText("", "{id: x, slo: checkout}", "{id: g, slo: checkout, below: 5%}"))
	res := judge(t, sc, w)
	assert.Equal(t, verdict.Skipped, res.Verdict)
	assert.Equal(t, "skipped: "+why, res.Sentence)
	assert.Equal(t, 0, res.ExitCode())
	var ids []string
	for _, f := range res.Findings {
		ids = append(ids, f.ID)
		assert.Equal(t, verdict.Skipped, f.Verdict)
		assert.Contains(t, f.Why, why)
	}
	assert.Equal(t, []string{"requirements", "ok", "x", "g"}, ids)
}
