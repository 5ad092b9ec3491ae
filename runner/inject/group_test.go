package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/record"
)

// group is two targets by name.
type group map[string]*world

func newGroup() group {
	g := group{}
	for _, name := range []string{"a-1 -> b", "a-2 -> b"} {
		g[name] = newWorld()
		g[name].name = name
	}
	return g
}

func (g group) find(name string) (faults.Target, error) {
	w, ok := g[name]
	if !ok {
		return nil, fmt.Errorf("no target %q", name)
	}
	return w, nil
}

func (g group) snapshot() string {
	return g["a-1 -> b"].snapshot() + "; " + g["a-2 -> b"].snapshot()
}

// groupOf is a fault on both.
func groupOf(kind string) Spec {
	return Spec{ID: "f1", Kind: kind, On: "a -> b", Seed: 7, Targets: []Target{{"a-1 -> b", kind, 0, paramsFor(kind)}, {"a-2 -> b", kind, 0, paramsFor(kind)}}}
}

func groupInjector(t *testing.T, reg faults.Registry, g group) (*Injector, *log, string) {
	t.Helper()
	in, l, path := newInjector(t, reg, nil)
	in.Find = g.find
	return in, l, path
}

// A fault on a group is one fault: it has one life, one receipt, and an undo
// for each of its targets.
func TestGroupIsOneFault(t *testing.T) {
	for kind, hits := range map[string]uint64{"net-latency": 10, "http-error": 10, "net-down": 10, "proc-kill": 2, "proc-pause": 2} {
		t.Run(kind, func(t *testing.T) {
			g := newGroup()
			before := g.snapshot()
			in, l, path := groupInjector(t, faults.Builtin(), g)
			require.NoError(t, in.Start(t.Context(), groupOf(kind)))
			l.wait(t, record.FaultBiting)
			for name, w := range g {
				assert.NotContains(t, w.snapshot(), "stages [], process running", name)
			}
			open, err := ReadJournal(path)
			require.NoError(t, err)
			require.Len(t, open, 2)
			assert.Equal(t, []string{"a-1 -> b", "a-2 -> b"}, []string{open[0].On, open[1].On})

			require.NoError(t, in.Stop(t.Context(), "f1"))
			assert.Equal(t, before, g.snapshot())
			assert.Equal(t, []record.FaultState{record.FaultIntent, record.FaultInjected, record.FaultBiting, record.FaultReverted, record.FaultGone}, l.states())
			last := l.last()
			assert.Equal(t, []any{"f1", "a -> b", hits}, []any{last.ID, last.On, last.Receipt.Hits}, "the receipts of both")
			assert.Equal(t, []string{"a-1 -> b", "a-2 -> b"}, last.Targets)
			open, err = ReadJournal(path)
			require.NoError(t, err)
			assert.Empty(t, open)
		})
	}
}

// They count together what they choose.
func TestTargetsShareOneSeed(t *testing.T) {
	g := newGroup()
	in, _, _ := groupInjector(t, faults.Builtin(), g)
	require.NoError(t, in.Start(t.Context(), groupOf("net-latency")))
	assert.Equal(t, uint64(7), g["a-1 -> b"].load().Stages["f1"].Seed)
	assert.Equal(t, uint64(7), g["a-2 -> b"].load().Stages["f1"].Seed)
	require.NoError(t, in.StopAll(t.Context()))
}

// One link that carries traffic is enough of a receipt for all.
func TestGroupBitesWhereOneTargetDoes(t *testing.T) {
	g := newGroup()
	g["a-1 -> b"].quiet = true
	in, l, _ := groupInjector(t, faults.Builtin(), g)
	require.NoError(t, in.Start(t.Context(), groupOf("net-down")))
	l.wait(t, record.FaultBiting)
	require.NoError(t, in.StopAll(t.Context()))
	assert.Equal(t, uint64(5), l.last().Receipt.Hits)
	assert.Empty(t, l.last().Receipt.Note)
}

func TestGroupThatEndsEarlyInPartSaysWhere(t *testing.T) {
	g := newGroup()
	in, l, _ := groupInjector(t, faults.Builtin(), g)
	require.NoError(t, in.Start(t.Context(), groupOf("net-down")))
	l.wait(t, record.FaultBiting)
	require.NoError(t, g["a-2 -> b"].DeleteStage(t.Context(), "f1"))
	l.wait(t, record.FaultFailed)
	assert.Equal(t, "a-2 -> b: ended before it was reverted", l.last().Error)
	require.NoError(t, in.StopAll(t.Context()))
	assert.Equal(t, uint64(10), l.last().Receipt.Hits, "what was seen stays")
}

// A fault that cannot be put on one of its targets stands on none.
func TestGroupIsRevertedWhereOneTargetFails(t *testing.T) {
	g := newGroup()
	before := g.snapshot()
	second := g["a-2 -> b"].load()
	in, l, path := groupInjector(t, faults.Builtin(), g)
	g["a-2 -> b"].deaf = true
	synctest.Test(t, func(t *testing.T) {
		err := in.Start(t.Context(), groupOf("proc-kill"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "a-2 -> b: inject")
	})
	assert.Equal(t, before, g.snapshot())
	assert.Equal(t, second, g["a-2 -> b"].load())
	assert.Equal(t, []record.FaultState{record.FaultIntent, record.FaultFailed, record.FaultReverted, record.FaultGone}, l.states())
	open, err := ReadJournal(path)
	require.NoError(t, err)
	assert.Empty(t, open)
}

func TestGroupIsNotPreparedInPart(t *testing.T) {
	g := newGroup()
	s := g["a-2 -> b"].load()
	s.State = "stopped"
	g["a-2 -> b"].save(s)
	in, l, path := groupInjector(t, faults.Builtin(), g)
	assert.ErrorContains(t, in.Start(t.Context(), groupOf("proc-kill")), "a-2 -> b: prepare")
	assert.Equal(t, []record.FaultState{record.FaultFailed}, l.states())
	assert.Equal(t, []string{"a-1 -> b", "a-2 -> b"}, l.last().Targets)
	lines, _, err := readLines(path)
	require.NoError(t, err)
	assert.Empty(t, lines, "nothing was intended")
	assert.Equal(t, "running", g["a-1 -> b"].load().State)
}

// Where an intent cannot be written, those before it are taken back.
func TestIntentsThatCannotAllBeWrittenAreWithdrawn(t *testing.T) {
	g := newGroup()
	before := g.snapshot()
	in, l, path := groupInjector(t, faults.Builtin(), g)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	require.NoError(t, err)
	full := &failsOnce{File: f, broken: 2}
	in.Journal, err = continueJournal(path, full)
	require.NoError(t, err)
	t.Cleanup(func() { _ = in.Journal.Close() })
	require.ErrorIs(t, in.Start(t.Context(), groupOf("net-down")), errFull)
	assert.Equal(t, before, g.snapshot())
	assert.Equal(t, []record.FaultState{record.FaultFailed}, l.states())
	open, err := ReadJournal(path)
	require.NoError(t, err)
	assert.Empty(t, open)
	require.NoError(t, in.Start(t.Context(), groupOf("net-down")), "and may be tried again")
	require.NoError(t, in.StopAll(t.Context()))
}

var errFull = errors.New("disk full")

// failsOnce fails one write.
type failsOnce struct {
	*os.File
	n, broken int
}

func (f *failsOnce) Write(p []byte) (int, error) {
	if f.n++; f.n == f.broken {
		return 0, errFull
	}
	return f.File.Write(p)
}

// Processes that need each other to become ready are started again together.
func TestGroupIsRevertedAtOnce(t *testing.T) {
	var together sync.WaitGroup
	together.Add(2)
	reg := faults.Registry{"pair": {
		Name: "pair",
		New:  func(func(any) error) (faults.Fault, error) { return &scripted{inject: fine}, nil },
		Revert: func(ctx context.Context, _ faults.Injection, _ json.RawMessage) error {
			together.Done()
			both := make(chan struct{})
			go func() { together.Wait(); close(both) }()
			select {
			case <-both:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}}
	in, _, _ := groupInjector(t, reg, newGroup())
	require.NoError(t, in.Start(t.Context(), groupOf("pair")))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, in.Stop(ctx, "f1"))
}

func TestFaultWithoutTargetIsRefused(t *testing.T) {
	in, l, _ := newInjector(t, faults.Builtin(), newWorld())
	s := groupOf("net-down")
	s.Targets = nil
	assert.ErrorContains(t, in.Start(t.Context(), s), "no target")
	assert.Equal(t, record.FaultFailed, l.last().State)
}
