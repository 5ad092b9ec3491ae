package inject

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/record"
)

// paramsOf are valid parameters of every builtin kind that needs some.
var paramsOf = map[string]string{
	"net-latency": `{"latency":1000000000,"stream":"downstream"}`,
	"http-error":  `{"status":503}`,
	"bus-poison":  `{"subject":"orders.confirmed","count":2,"payload":"{poison"}`,
}

func paramsFor(kind string) func(any) error {
	return func(into any) error {
		text, ok := paramsOf[kind]
		if !ok {
			text = "{}"
		}
		return json.Unmarshal([]byte(text), into)
	}
}

// log collects what is reported.
type log struct {
	mu   sync.Mutex
	all  []record.Fault
	news chan struct{}
}

func newLog() *log { return &log{news: make(chan struct{}, 100)} }

func (l *log) report(f record.Fault) {
	l.mu.Lock()
	l.all = append(l.all, f)
	l.mu.Unlock()
	l.news <- struct{}{}
}

func (l *log) states() (ss []record.FaultState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.all {
		ss = append(ss, f.State)
	}
	return ss
}

func (l *log) last() record.Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[len(l.all)-1]
}

// wait returns when a fault has been reported in that state.
func (l *log) wait(t *testing.T, s record.FaultState) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for !slices.Contains(l.states(), s) {
		select {
		case <-l.news:
		case <-limit:
			require.Failf(t, "not reported", "%s; seen: %v", s, l.states())
		}
	}
}

func newInjector(t *testing.T, reg faults.Registry, w *world) (*Injector, *log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "undo.ndjson")
	j, err := OpenJournal(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	l := newLog()
	return &Injector{
		Registry: reg, Find: func(string) (faults.Target, error) { return w, nil }, Journal: j,
		Owner: "run-1", Lease: 5 * time.Second,
		Locator: func() json.RawMessage { return json.RawMessage(`"here"`) }, Report: l.report,
	}, l, path
}

func specOf(kind string) Spec {
	return Spec{ID: "f-" + kind, Kind: kind, On: "a -> b", Targets: []Target{{"a -> b", 7}}, Decode: paramsFor(kind)}
}

// TestConformance takes every builtin kind through its whole life.
func TestConformance(t *testing.T) {
	url := startBroker(t)
	for _, kind := range faults.Builtin().Names() {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, url)
			before := w.snapshot(t)
			in, l, path := newInjector(t, faults.Builtin(), w)
			require.NoError(t, in.Start(t.Context(), specOf(kind)))
			l.wait(t, record.FaultBiting)
			assert.NotEqual(t, before, w.snapshot(t), "it does something")
			assert.ErrorContains(t, in.Start(t.Context(), specOf(kind)), "in force already")

			require.NoError(t, in.Stop(t.Context(), "f-"+kind))
			assert.Equal(t, before, w.snapshot(t))
			want := []record.FaultState{record.FaultIntent, record.FaultInjected, record.FaultBiting, record.FaultFailed, record.FaultReverted, record.FaultGone}
			assert.Equal(t, want, l.states(), "failed: the second start")
			last := l.last()
			require.NotNil(t, last.Receipt)
			assert.NotZero(t, last.Receipt.Hits)
			assert.NotEmpty(t, last.Receipt.Unit)
			assert.NotEmpty(t, last.Detail)
			open, err := ReadJournal(path)
			require.NoError(t, err)
			assert.Empty(t, open)
			assert.ErrorContains(t, in.Stop(t.Context(), "f-"+kind), "not in force")
		})
	}
}

// TestDeafTarget: where nothing happens, no kind may be seen biting.
func TestDeafTarget(t *testing.T) {
	for _, kind := range []string{"http-error", "http-lose-reply", "net-down", "net-latency", "net-reset", "net-timeout", "proc-kill", "proc-pause"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, "")
			w.deaf = true
			in, l, _ := newInjector(t, faults.Builtin(), w)
			err := in.Start(t.Context(), specOf(kind))
			time.Sleep(3 * time.Second) // on the bubble's clock: many looks
			if kind == "proc-kill" || kind == "proc-pause" {
				require.ErrorIs(t, err, context.DeadlineExceeded, kind)
				assert.Equal(t, []record.FaultState{record.FaultIntent, record.FaultFailed, record.FaultReverted, record.FaultGone}, l.states(), kind)
				return
			}
			require.NoError(t, err, kind)
			require.NoError(t, in.StopAll(t.Context()))
			assert.Equal(t, []record.FaultState{record.FaultIntent, record.FaultInjected, record.FaultReverted, record.FaultGone}, l.states(), kind)
			assert.Equal(t, "never seen biting", l.last().Receipt.Note)
			assert.Zero(t, l.last().Receipt.Hits)
		})
	}
}

func TestNeverBitingIsSaid(t *testing.T) {
	w := newWorld(t, "")
	w.quiet = true
	in, l, _ := newInjector(t, faults.Builtin(), w)
	require.NoError(t, in.Start(t.Context(), specOf("net-down")))
	require.NoError(t, in.StopAll(t.Context()))
	assert.NotContains(t, l.states(), record.FaultBiting)
	assert.Equal(t, &record.Receipt{Unit: "requests", Note: "never seen biting"}, l.last().Receipt)
}

func TestStagesCarryOwnerLeaseAndSeed(t *testing.T) {
	w := newWorld(t, "")
	in, _, _ := newInjector(t, faults.Builtin(), w)
	require.NoError(t, in.Start(t.Context(), specOf("net-down")))
	st := w.load().Stages["f-net-down"]
	assert.Equal(t, faults.Stage{Mode: faults.LinkRefuse, Seed: 7, Owner: "run-1", Lease: 5 * time.Second}, st)
	require.NoError(t, in.StopAll(t.Context()))
}

// Two faults on one target can be undone in either order.
func TestOverlap(t *testing.T) {
	for _, pair := range [][2]string{{"net-latency", "net-down"}, {"http-error", "proc-pause"}, {"proc-pause", "proc-kill"}} {
		for _, order := range [][2]int{{0, 1}, {1, 0}} {
			w := newWorld(t, "")
			before := w.snapshot(t)
			in, _, path := newInjector(t, faults.Builtin(), w)
			first := specOf(pair[0])
			require.NoError(t, in.Start(t.Context(), first))
			second := specOf(pair[1])
			if pair[0] == "proc-pause" { // one fault at a time may claim a process
				assert.ErrorContains(t, in.Start(t.Context(), second), "is stopped, expected running")
				require.NoError(t, in.StopAll(t.Context()))
				continue
			}
			require.NoError(t, in.Start(t.Context(), second))
			for _, i := range order {
				require.NoError(t, in.Stop(t.Context(), "f-"+pair[i]))
			}
			assert.Equal(t, before, w.snapshot(t))
			open, err := ReadJournal(path)
			require.NoError(t, err)
			assert.Empty(t, open)
		}
	}
}

// A fault that ends by itself did not stand as long as planned.
func TestFaultThatEndsEarlyIsReportedOnce(t *testing.T) {
	w := newWorld(t, "")
	in, l, _ := newInjector(t, faults.Builtin(), w)
	require.NoError(t, in.Start(t.Context(), specOf("net-down")))
	l.wait(t, record.FaultBiting)
	require.NoError(t, w.DeleteStage(t.Context(), "f-net-down")) // as when a lease runs out
	l.wait(t, record.FaultFailed)
	assert.Equal(t, "ended before it was reverted", l.last().Error)
	require.NoError(t, in.StopAll(t.Context()))
	want := []record.FaultState{record.FaultIntent, record.FaultInjected, record.FaultBiting, record.FaultFailed, record.FaultReverted, record.FaultGone}
	assert.Equal(t, want, l.states())
	assert.Equal(t, uint64(5), l.last().Receipt.Hits, "what was seen stays")
}

func TestGoneTargetIsReverted(t *testing.T) {
	w := newWorld(t, "")
	in, l, path := newInjector(t, faults.Builtin(), w)
	require.NoError(t, in.Start(t.Context(), specOf("net-down")))
	l.wait(t, record.FaultBiting)
	w.gone.Store(true)
	require.NoError(t, in.Stop(t.Context(), "f-net-down"))
	assert.Equal(t, record.FaultGone, l.last().State)
	open, err := ReadJournal(path)
	require.NoError(t, err)
	assert.Empty(t, open)
}

// scripted is a kind whose steps the test decides.
type scripted struct {
	inject, revert func(ctx context.Context) error
	active         bool
	reverted       *[]string
}

func (s *scripted) Describe() string { return "scripted" }
func (s *scripted) Prepare(context.Context, faults.Injection) (json.RawMessage, error) {
	return json.RawMessage(`{}`), nil
}
func (s *scripted) Inject(ctx context.Context, _ faults.Injection) error { return s.inject(ctx) }
func (s *scripted) Observe(context.Context, faults.Injection) (faults.Evidence, error) {
	return faults.Evidence{Active: s.active}, nil
}

func (s *scripted) kind(name string) faults.Kind {
	return faults.Kind{
		Name: name,
		New:  func(func(any) error) (faults.Fault, error) { return s, nil },
		Revert: func(ctx context.Context, x faults.Injection, _ json.RawMessage) error {
			*s.reverted = append(*s.reverted, x.ID)
			return s.revert(ctx)
		},
	}
}

// on is a scripted fault on one target.
func on(id, kind string) Spec {
	return Spec{ID: id, Kind: kind, On: "a -> b", Targets: []Target{{Name: "a -> b"}}}
}

func fine(context.Context) error { return nil }

func TestFailedInjectIsRevertedEvenWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var reverted []string
	half := &scripted{reverted: &reverted, inject: func(ctx context.Context) error {
		interrupt()
		return context.Cause(ctx)
	}, revert: func(ctx context.Context) error { return ctx.Err() }}
	in, l, path := newInjector(t, faults.Registry{"half": half.kind("half")}, newWorld(t, ""))
	err := in.Start(ctx, on("f1", "half"))
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []string{"f1"}, reverted)
	assert.Equal(t, []record.FaultState{record.FaultIntent, record.FaultFailed, record.FaultReverted, record.FaultGone}, l.states())
	open, err := ReadJournal(path)
	require.NoError(t, err)
	assert.Empty(t, open)
}

// StopAll goes newest first, also when ctx is cancelled, and one that fails or
// hangs does not keep the others.
func TestStopAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reverted []string
		broken := errors.New("proxy does not answer")
		reg := faults.Registry{}
		for name, revert := range map[string]func(context.Context) error{
			"ok": fine, "broken": func(context.Context) error { return broken },
			"hangs": func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		} {
			reg[name] = (&scripted{reverted: &reverted, inject: fine, revert: revert}).kind(name)
		}
		in, _, path := newInjector(t, reg, newWorld(t, ""))
		for _, kind := range []string{"ok", "broken", "hangs"} {
			require.NoError(t, in.Start(t.Context(), on(kind, kind)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := in.StopAll(ctx)
		assert.ErrorIs(t, err, broken)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{"hangs", "broken", "ok"}, reverted)
		open, err := ReadJournal(path)
		require.NoError(t, err)
		require.Len(t, open, 2, "what failed stays open")
		assert.ErrorIs(t, in.StopAll(ctx), broken, "and is tried again")
	})
}

func TestRevertedButSeenInForceIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reverted []string
		sticky := &scripted{reverted: &reverted, inject: fine, revert: fine, active: true}
		in, l, _ := newInjector(t, faults.Registry{"sticky": sticky.kind("sticky")}, newWorld(t, ""))
		require.NoError(t, in.Start(t.Context(), on("f1", "sticky")))
		assert.ErrorContains(t, in.StopAll(t.Context()), "not seen gone")
		assert.Equal(t, record.FaultFailed, l.last().State)
		assert.NotContains(t, l.states(), record.FaultGone)
	})
}

func TestLifeCycleRefusesWrongTransitions(t *testing.T) {
	all := []record.FaultState{"", record.FaultIntent, record.FaultInjected, record.FaultBiting, record.FaultReverted, record.FaultGone}
	allowed := map[record.FaultState][]record.FaultState{
		"": {"intent"}, "intent": {"injected", "reverted"}, "injected": {"biting", "reverted"}, "biting": {"reverted"}, "reverted": {"gone"},
	}
	for _, from := range all {
		for _, to := range all {
			err := advance("f1", from, to)
			assert.Equal(t, slices.Contains(allowed[from], to), err == nil, "%q to %q", from, to)
		}
	}
}
