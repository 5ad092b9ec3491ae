package inject

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/record"
	"squall/runner/targets/process"
)

// The points of a fault's life at which its runner dies.
const (
	atIntent   = "intent on disk, nothing done"
	atDone     = "done, not noted"
	atInjected = "noted as injected"
	atBiting   = "biting"
	atUndone   = "undone, not noted"
	atReverted = "noted as reverted"
)

var deaths = []string{atIntent, atDone, atInjected, atBiting, atUndone, atReverted}

// runnerOrder tells a copy of this test binary what to inject where, and when to die.
type runnerOrder struct {
	Kind    string
	Locator json.RawMessage
	Journal string
	Point   string
}

// crashes kills the runner of a fault at each step; this process, which did not
// inject, heals from the journal alone, twice.
func (l *lab) crashes(t *testing.T, e entry) {
	for _, point := range deaths {
		t.Run(point, func(t *testing.T) {
			journal := filepath.Join(t.TempDir(), "undo.ndjson")
			stop := l.traffic(t, e)
			runToDeath(t, runnerOrder{e.kind, l.env.Locator(), journal, point})
			stop()
			open, err := ReadJournal(journal)
			require.NoError(t, err)
			if point != atUndone && point != atReverted {
				assert.Len(t, open, len(l.spec(t, e, "f").Targets), "intents of all targets are on disk before anything is done to one")
			}
			if (point == atInjected || point == atBiting) && !e.harmless {
				diff, err := l.changed(t.Context())
				require.NoError(t, err)
				require.NotEmpty(t, diff, "the crash left something to heal")
			}
			for range 2 {
				err := Heal(t.Context(), journal, faults.Builtin(), func(on string, locator json.RawMessage) (faults.Target, error) {
					return attached(t.Context(), on, locator)
				}, func(string) {})
				require.NoError(t, err)
			}
			open, err = ReadJournal(journal)
			require.NoError(t, err)
			assert.Empty(t, open)
			assert.NoError(t, l.same(t.Context()))
		})
	}
}

// traffic is one caller that uses the target until it is stopped.
func (l *lab) traffic(t *testing.T, e entry) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		c := e.caller(l)
		defer c.close()
		for ctx.Err() == nil {
			c.use()
		}
	})
	return func() { cancel(); done.Wait() }
}

func attached(ctx context.Context, on string, locator json.RawMessage) (faults.Target, error) {
	env, err := process.Attach(ctx, locator)
	if err != nil {
		return nil, err
	}
	return env.Target(on)
}

func runToDeath(t *testing.T, o runnerOrder) {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	out, err := exec.CommandContext(t.Context(), os.Args[0], "runner", string(text)).CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s", out)
}

// roleRunner injects one fault in another's environment, reverts it, and dies
// at some point of that.
func roleRunner(args []string) error {
	var o runnerOrder
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	sys, err := labFile(os.TempDir())
	if err != nil {
		return err
	}
	s, err := entries[o.Kind].resolve(sys, "f")
	if err != nil {
		return err
	}
	j, err := OpenJournal(o.Journal)
	if err != nil {
		return err
	}
	bites := make(chan struct{})
	in := &Injector{
		Registry: o.deadly(faults.Builtin()), Journal: j, Owner: "lab", Lease: labLease, Locator: func() json.RawMessage { return o.Locator },
		Find: func(on string) (faults.Target, error) { return attached(context.Background(), on, o.Locator) },
		Report: func(f record.Fault) {
			o.dieAt(map[record.FaultState]string{
				record.FaultIntent: atIntent, record.FaultInjected: atInjected, record.FaultBiting: atBiting, record.FaultReverted: atReverted,
			}[f.State])
			if f.State == record.FaultBiting {
				close(bites)
			}
		},
	}
	if err := in.Start(context.Background(), s); err != nil {
		return err
	}
	select {
	case <-bites:
	case <-time.After(20 * time.Second):
		return errors.Join(errors.New("it does not bite"), in.StopAll(context.Background()))
	}
	return errors.Join(in.StopAll(context.Background()), fmt.Errorf("did not die: %s", o.Point))
}

// deadly are kinds with death between the act and its line in the journal.
func (o runnerOrder) deadly(reg faults.Registry) faults.Registry {
	for name, k := range reg {
		create, revert := k.New, k.Revert
		if create == nil {
			continue
		}
		k.New = func(decode func(any) error) (faults.Fault, error) {
			f, err := create(decode)
			return deadlyFault{f, o}, err
		}
		k.Revert = func(ctx context.Context, x faults.Injection, undo json.RawMessage) error {
			err := revert(ctx, x, undo)
			o.dieAt(atUndone)
			return err
		}
		reg[name] = k
	}
	return reg
}

type deadlyFault struct {
	faults.Fault
	o runnerOrder
}

func (f deadlyFault) Inject(ctx context.Context, x faults.Injection) error {
	err := f.Fault.Inject(ctx, x)
	f.o.dieAt(atDone)
	return err
}

func (o runnerOrder) dieAt(point string) {
	if point == o.Point {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it takes a moment
	}
}
