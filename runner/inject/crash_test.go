package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/record"
)

// crashOrder tells a copy of this test binary what to inject and where to die.
type crashOrder struct {
	World, URL, Journal, Kind, Point string
	Seed                             uint64            // a broker remembers message ids, which hold the seed
	Group                            map[string]string // instead of World: paths of several, by name
	StateDir, RunDir                 string            // instead: lock, say so, and wait
}

const crashVar = "SQUALL_TEST_CRASH"

func TestMain(m *testing.M) {
	text, is := os.LookupEnv(crashVar)
	if !is {
		os.Exit(m.Run())
	}
	var o crashOrder
	err := json.Unmarshal([]byte(text), &o)
	if err == nil && o.RunDir != "" {
		err = o.lock()
	} else if err == nil {
		err = o.run()
	}
	fmt.Fprintln(os.Stderr, "did not die:", err)
	os.Exit(1)
}

func (o crashOrder) lock() error {
	if _, err := Lock(o.StateDir, o.RunDir); err != nil {
		return err
	}
	fmt.Println("locked")
	select {}
}

// The points at which the child dies.
const (
	atIntent   = "intent on disk, nothing done"
	atDone     = "done, not noted"
	atInjected = "noted as injected"
	atBiting   = "biting"
	atUndone   = "undone, not noted"
	atReverted = "noted as reverted"
)

func (o crashOrder) run() error {
	kind, err := faults.Builtin().Kind(o.Kind)
	if err != nil {
		return err
	}
	j, err := OpenJournal(o.Journal)
	if err != nil {
		return err
	}
	bites := make(chan struct{})
	in := &Injector{
		Registry: faults.Registry{o.Kind: o.deadly(kind)}, Find: o.find,
		Journal: j, Locator: func() json.RawMessage { return json.RawMessage(`"here"`) },
		Report: func(f record.Fault) {
			o.dieAt(map[record.FaultState]string{
				record.FaultIntent: atIntent, record.FaultInjected: atInjected, record.FaultBiting: atBiting, record.FaultReverted: atReverted,
			}[f.State])
			if f.State == record.FaultBiting {
				close(bites)
			}
		},
	}
	spec := specOf(o.Kind)
	spec.Targets[0].Seed = o.Seed
	if len(o.Group) > 0 {
		spec = groupOf(o.Kind)
	}
	if err := in.Start(context.Background(), spec); err != nil {
		return err
	}
	<-bites
	return in.StopAll(context.Background())
}

func (o crashOrder) find(name string) (faults.Target, error) {
	if path, is := o.Group[name]; is {
		return &world{name: name, path: path}, nil
	}
	return &world{path: o.World, url: o.URL}, nil
}

// deadly is the kind, with death between the act and its line in the journal.
func (o crashOrder) deadly(k faults.Kind) faults.Kind {
	create, revert := k.New, k.Revert
	k.New = func(decode func(any) error) (faults.Fault, error) {
		f, err := create(decode)
		return deadlyFault{f, o}, err
	}
	k.Revert = func(ctx context.Context, x faults.Injection, undo json.RawMessage) error {
		err := revert(ctx, x, undo)
		o.dieAt(atUndone)
		return err
	}
	return k
}

type deadlyFault struct {
	faults.Fault
	o crashOrder
}

func (f deadlyFault) Inject(ctx context.Context, x faults.Injection) error {
	err := f.Fault.Inject(ctx, x)
	f.o.dieAt(atDone)
	return err
}

func (o crashOrder) dieAt(point string) {
	if point == o.Point {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it takes a moment
	}
}

func command(t *testing.T, o crashOrder) *exec.Cmd {
	t.Helper()
	data, err := json.Marshal(o)
	require.NoError(t, err)
	c := exec.CommandContext(t.Context(), os.Args[0])
	c.Env = append(os.Environ(), crashVar+"="+string(data))
	return c
}

func crash(t *testing.T, o crashOrder) {
	t.Helper()
	out, err := command(t, o).CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s", out)
}

// TestCrash kills the runner at every step of every kind's life; another
// process heals from the journal alone, and the world is as it was.
func TestCrash(t *testing.T) {
	url := startBroker(t)
	for _, kind := range faults.Builtin().Names() {
		for i, point := range []string{atIntent, atDone, atInjected, atBiting, atUndone, atReverted} {
			t.Run(kind+"/"+point, func(t *testing.T) {
				w := newWorld(t, url)
				before := w.snapshot(t)
				journal := filepath.Join(t.TempDir(), "undo.ndjson")
				crash(t, crashOrder{World: w.path, URL: url, Journal: journal, Kind: kind, Point: point, Seed: uint64(i)})
				if point == atDone || point == atInjected || point == atBiting {
					require.NotEqual(t, before, w.snapshot(t), "the crash left something to heal")
				}

				var said []string
				heal := func() error {
					return Heal(t.Context(), journal, faults.Builtin(), func(on string, locator json.RawMessage) (faults.Target, error) {
						assert.Equal(t, "a -> b", on)
						assert.JSONEq(t, `"here"`, string(locator))
						return w, nil
					}, func(s string) { said = append(said, s) })
				}
				require.NoError(t, heal())
				require.NoError(t, heal(), "again")
				assert.Equal(t, before, w.snapshot(t))
				if point == atReverted {
					assert.Empty(t, said)
				} else {
					assert.Equal(t, []string{"f-" + kind + " " + kind + " on a -> b: reverted"}, said)
				}
			})
		}
	}
}

// TestCrashOfAGroup dies while a fault is on one of its targets, on both, or
// reverted on one: the journal alone knows what to undo on each.
func TestCrashOfAGroup(t *testing.T) {
	for _, kind := range []string{"net-latency", "proc-kill", "proc-pause"} {
		for _, point := range []string{atIntent, atDone, atInjected, atBiting, atUndone, atReverted} {
			t.Run(kind+"/"+point, func(t *testing.T) {
				g := newGroup(t)
				before := g.snapshot(t)
				journal := filepath.Join(t.TempDir(), "undo.ndjson")
				crash(t, crashOrder{Group: g.paths(), Journal: journal, Kind: kind, Point: point})
				if point == atDone || point == atInjected || point == atBiting {
					require.NotEqual(t, before, g.snapshot(t), "the crash left something to heal")
				}
				open, err := ReadJournal(journal)
				require.NoError(t, err)
				if point != atReverted && point != atUndone {
					assert.Len(t, open, 2, "intents of all targets are on disk before anything is done to one")
				}
				find := func(on string, _ json.RawMessage) (faults.Target, error) { return g.find(on) }
				require.NoError(t, Heal(t.Context(), journal, faults.Builtin(), find, func(string) {}))
				assert.Equal(t, before, g.snapshot(t))
				open, err = ReadJournal(journal)
				require.NoError(t, err)
				assert.Empty(t, open)
			})
		}
	}
}

func TestHealGoesOnAfterAnErrorAndAcceptsWhatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "undo.ndjson")
	j, err := OpenJournal(path)
	require.NoError(t, err)
	for _, id := range []string{"one", "two", "three"} {
		require.NoError(t, j.Append(Line{ID: id, Kind: "net-down", On: id, Step: StepIntent, Undo: json.RawMessage(`{"stage":"` + id + `"}`)}))
	}
	require.NoError(t, j.Close())
	w := newWorld(t, "")
	unreachable := errors.New("unreachable")
	find := func(on string, _ json.RawMessage) (faults.Target, error) {
		switch on {
		case "two":
			return nil, unreachable
		case "three":
			return nil, fmt.Errorf("environment: %w", faults.ErrGone)
		}
		return w, nil
	}
	var said []string
	err = Heal(t.Context(), path, faults.Builtin(), find, func(s string) { said = append(said, s) })
	assert.EqualError(t, err, "fault two (net-down on two): unreachable")
	assert.ErrorIs(t, err, unreachable)
	assert.Equal(t, []string{"three net-down on three: gone with its system", "one net-down on one: reverted"}, said)
	open, err := ReadJournal(path)
	require.NoError(t, err)
	require.Len(t, open, 1)
	assert.Equal(t, "two", open[0].ID)
}

func TestLock(t *testing.T) {
	state, dir := t.TempDir(), t.TempDir()
	release, err := Lock(state, dir)
	require.NoError(t, err)
	_, err = Lock(state, dir)
	assert.ErrorIs(t, err, ErrLocked)
	assert.ErrorContains(t, err, fmt.Sprintf("by process %d", os.Getpid()))
	dead, err := DeadRuns(state)
	require.NoError(t, err)
	assert.Empty(t, dead, "we live")

	other, err := Lock(state, t.TempDir())
	require.NoError(t, err, "another run may share the machine")
	require.NoError(t, other())
	require.NoError(t, release())
	again, err := Lock(state, dir)
	require.NoError(t, err)
	require.NoError(t, again())
	left, err := filepath.Glob(filepath.Join(state, "runs", "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
