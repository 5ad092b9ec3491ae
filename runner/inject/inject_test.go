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
	"squall/scenarios/spec"
)

// paramsOf are valid parameters of kinds that need some.
var paramsOf = map[string]map[string]any{
	"net-latency": {"latency": "1s"},
}

func paramsFor(kind string) func(any) error { return spec.NodeFrom(paramsOf[kind]).Decode }

// log collects what is reported.
type log struct {
	mu   sync.Mutex
	all  []record.Fault
	ats  []time.Time // of all
	news chan struct{}
}

func newLog() *log { return &log{news: make(chan struct{}, 100)} }

func (l *log) report(f record.Fault) {
	l.mu.Lock()
	l.all, l.ats = append(l.all, f), append(l.ats, time.Now())
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

func (l *log) has(s record.FaultState) bool { return slices.Contains(l.states(), s) }

// at is when a fault was first reported in a state.
func (l *log) at(id string, s record.FaultState) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.all, func(f record.Fault) bool { return f.ID == id && f.State == s })
	if i < 0 {
		return time.Time{}
	}
	return l.ats[i]
}

// failed is how often a fault was reported as failed.
func (l *log) failed(id string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.all {
		if f.ID == id && f.State == record.FaultFailed {
			n++
		}
	}
	return n
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
	for !l.has(s) {
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
	return Spec{ID: "f-" + kind, Kind: kind, On: "a -> b", Seed: 7, Targets: []Target{{"a -> b", kind, 0, paramsFor(kind)}}}
}

func TestNeverBitingIsSaid(t *testing.T) {
	w := newWorld()
	w.quiet = true
	in, l, _ := newInjector(t, faults.Builtin(), w)
	require.NoError(t, in.Start(t.Context(), specOf("net-down")))
	require.NoError(t, in.StopAll(t.Context()))
	assert.NotContains(t, l.states(), record.FaultBiting)
	assert.Equal(t, &record.Receipt{Unit: "requests", Note: "never seen biting"}, l.last().Receipt)
}

func TestStagesCarryOwnerLeaseAndSeed(t *testing.T) {
	w := newWorld()
	in, _, _ := newInjector(t, faults.Builtin(), w)
	require.NoError(t, in.Start(t.Context(), specOf("net-down")))
	st := w.load().Stages["f-net-down"]
	assert.Equal(t, faults.Stage{Mode: faults.LinkRefuse, Seed: 7, Owner: "run-1", Lease: 5 * time.Second}, st)
	require.NoError(t, in.StopAll(t.Context()))
}

// A fault that ends by itself did not stand as long as planned.
func TestFaultThatEndsEarlyIsReportedOnce(t *testing.T) {
	w := newWorld()
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
	w := newWorld()
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
	reverted       *reverts
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
			s.reverted.add(x.ID)
			return s.revert(ctx)
		},
	}
}

// on is a scripted fault on one target.
func on(id, kind string) Spec {
	return Spec{ID: id, Kind: kind, On: "a -> b", Targets: []Target{{Name: "a -> b", Kind: kind}}}
}

func fine(context.Context) error { return nil }

func hangs(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// reverts are the faults that were reverted.
type reverts struct {
	mu  sync.Mutex
	ids []string
}

func (r *reverts) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids = append(r.ids, id)
}

func (r *reverts) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids)
}

func TestFailedInjectIsRevertedEvenWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var reverted reverts
	half := &scripted{reverted: &reverted, inject: func(ctx context.Context) error {
		interrupt()
		return context.Cause(ctx)
	}, revert: func(ctx context.Context) error { return ctx.Err() }}
	in, l, path := newInjector(t, faults.Registry{"half": half.kind("half")}, newWorld())
	err := in.Start(ctx, on("f1", "half"))
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, []string{"f1"}, reverted.all())
	assert.Equal(t, []record.FaultState{record.FaultIntent, record.FaultFailed, record.FaultReverted, record.FaultGone}, l.states())
	open, err := ReadJournal(path)
	require.NoError(t, err)
	assert.Empty(t, open)
}

// Nothing of the second fault is done or noted, and the first goes on.
func TestWhatAFaultHasToItselfIsRefusedToOthers(t *testing.T) {
	in, _, path := newInjector(t, faults.Builtin(), newWorld())
	pause, kill := specOf("proc-pause"), specOf("proc-kill")
	require.NoError(t, in.Start(t.Context(), pause))
	err := in.Start(t.Context(), kill)
	assert.EqualError(t, err, "proc-kill needs the process of a -> b to itself, and so does proc-pause of fault f-proc-pause, which stands")
	open, err := ReadJournal(path)
	require.NoError(t, err)
	require.Len(t, open, 1)
	require.NoError(t, in.Stop(t.Context(), pause.ID))
	require.NoError(t, in.Start(t.Context(), kill))
	require.NoError(t, in.Stop(t.Context(), kill.ID))
}

// StopAll reverts newest first, also when ctx is cancelled, and one that fails or
// hangs does not keep the others: all have one deadline. What fails is tried
// again, and is told once.
func TestStopAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reverted reverts
		broken := errors.New("proxy does not answer")
		reg := faults.Registry{}
		for name, revert := range map[string]func(context.Context) error{
			"ok": fine, "broken": func(context.Context) error { return broken },
			"hangs": hangs, "hangs2": hangs,
		} {
			reg[name] = (&scripted{reverted: &reverted, inject: fine, revert: revert}).kind(name)
		}
		in, l, path := newInjector(t, reg, newWorld())
		for _, kind := range []string{"ok", "hangs2", "broken", "hangs"} {
			require.NoError(t, in.Start(t.Context(), on(kind, kind)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begun := time.Now()
		err := in.StopAll(ctx)
		assert.Equal(t, stopWithin, time.Since(begun))
		assert.ErrorIs(t, err, broken)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []string{"hangs", "broken", "hangs2", "ok"}, reverted.all())
		assert.Equal(t, 2*patience, l.at("ok", record.FaultReverted).Sub(begun))
		open, err := ReadJournal(path)
		require.NoError(t, err)
		require.Len(t, open, 3, "what failed stays open")
		assert.ErrorIs(t, in.StopAll(ctx), broken, "and is tried again")
		assert.Equal(t, 1, l.failed("broken"))
	})
}

func TestRevertedButSeenInForceIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reverted reverts
		sticky := &scripted{reverted: &reverted, inject: fine, revert: fine, active: true}
		in, l, _ := newInjector(t, faults.Registry{"sticky": sticky.kind("sticky")}, newWorld())
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
