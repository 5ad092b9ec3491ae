package inject

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/faults/proxy"
	"squall/runner/record"
)

// TestConformance holds every builtin kind to the same promises, on real
// processes behind a real proxy:
//
//	life     it is seen biting, its receipt is exact, it is undone and may be undone again; and if it did nothing, this test would say so
//	at once  callers on live connections meet it within 5 ms of the injection, and not 5 ms after the undo
//	crash    its runner is killed at each step of the journal, and another process heals
//	overlap  with every other kind on the same target, undone in both orders
//
// Most of it is waiting for callers that hear nothing: two labs share the work.
func TestConformance(t *testing.T) {
	kinds := faults.Builtin().Names()
	of := share(kinds, []*lab{newLab(t), newLab(t)})
	for _, kind := range kinds {
		e, ok := entries[kind]
		if !ok {
			t.Errorf("kind %s has no entry: conform(entry{...})", kind)
			continue
		}
		l := of[e.on]
		t.Run(kind, func(t *testing.T) {
			if why := e.cannot(); why != "" {
				t.Skip("this machine cannot: " + why)
			}
			t.Parallel()
			l.mine.Lock()
			defer l.mine.Unlock()
			t.Run("life", func(t *testing.T) {
				require.NoError(t, l.life(t, e, faults.Builtin(), 5*time.Second))
				require.Error(t, l.life(t, e, idle(faults.Builtin()), 100*time.Millisecond), "a fault that does nothing passes")
			})
			t.Run("at once", func(t *testing.T) { l.atOnce(t, e) })
			t.Run("crash", func(t *testing.T) { l.crashes(t, e) })
		})
	}
	for on, l := range of {
		t.Run("overlap on "+on, func(t *testing.T) {
			t.Parallel()
			l.mine.Lock()
			defer l.mine.Unlock()
			l.overlaps(t, on)
		})
	}
}

// share gives every target to one of the labs, so that each has as many kinds.
func share(kinds []string, labs []*lab) map[string]*lab {
	load := map[*lab]int{}
	of := map[string]*lab{}
	for _, kind := range kinds {
		e, ok := entries[kind]
		if !ok {
			continue
		}
		if of[e.on] == nil {
			of[e.on] = slices.MinFunc(labs, func(a, b *lab) int { return load[a] - load[b] })
		}
		load[of[e.on]]++
	}
	return of
}

// injector is a runner's, with a journal of its own.
func (l *lab) injector(t *testing.T, reg faults.Registry) (*Injector, *log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "undo.ndjson")
	j, err := OpenJournal(path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = j.Close() })
	states := newLog()
	return &Injector{
		Registry: reg, Find: l.env.Target, Journal: j, Owner: "lab", Lease: labLease, Locator: l.env.Locator, Report: states.report,
	}, states, path
}

func (l *lab) spec(t *testing.T, e entry, id string) Spec {
	t.Helper()
	sys, err := labFile(t.TempDir())
	require.NoError(t, err)
	s, err := e.resolve(sys, id)
	require.NoError(t, err)
	return s
}

// idle are kinds that do everything but act.
func idle(reg faults.Registry) faults.Registry {
	out := faults.Registry{}
	for name, k := range reg {
		if create := k.New; create != nil {
			k.New = func(decode func(any) error) (faults.Fault, error) {
				f, err := create(decode)
				return idleFault{f}, err
			}
		}
		out[name] = k
	}
	return out
}

type idleFault struct{ faults.Fault }

func (idleFault) Inject(context.Context, faults.Injection) error { return nil }

// life takes one fault through its whole life, with callers on live connections
// that use its target a known number of times. What it returns says how the
// fault or its receipt is not what it must be.
func (l *lab) life(t *testing.T, e entry, reg faults.Registry, patience time.Duration) error {
	t.Helper()
	const manyCallers, manyUses = 3, 4
	ctx := t.Context()
	in, states, path := l.injector(t, reg)
	s := l.spec(t, e, "f")
	require.True(t, l.quiet(ctx), "a link has connections of earlier callers")
	all := make([]caller, manyCallers)
	for i := range all {
		all[i] = e.caller(l)
		defer all[i].close()
		if x := all[i].use(); x.err != nil || e.hit(x) {
			return fmt.Errorf("before the fault a caller sees %+v", x)
		}
	}
	if err := in.Start(ctx, s); err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			require.NoError(t, in.StopAll(ctx))
		}
	}()
	parts := in.active[0].parts
	if diff, err := l.changed(ctx); err != nil || diff == "" && !e.harmless {
		return errors.Join(errors.New("the world is as it was"), err)
	}
	if err := l.leased(ctx); err != nil {
		return err
	}
	seen := useAll(all, manyUses, e.hit)
	if hits := uses(seen); hits == 0 || int(hits) < len(seen) && !e.sometimes {
		return fmt.Errorf("%d of %d uses were hit", hits, len(seen))
	}
	enough := func() bool {
		r := states.last().Receipt
		return states.has(record.FaultBiting) && r != nil && r.Hits >= 1
	}
	if !until(ctx, patience, enough) {
		return errors.New("never seen biting")
	}
	if err := in.Stop(ctx, "f"); err != nil {
		return err
	}
	stopped = true
	last := states.last()
	switch {
	case !slices.Equal(states.states(), []record.FaultState{record.FaultIntent, record.FaultInjected, record.FaultBiting, record.FaultReverted, record.FaultGone}):
		return fmt.Errorf("life was %v, at last %s", states.states(), last.Error)
	case e.inexact == "" && last.Receipt.Hits != e.receipt(seen):
		return fmt.Errorf("the receipt counts %d %s, callers counted %d", last.Receipt.Hits, last.Receipt.Unit, e.receipt(seen))
	case last.Receipt.Unit == "" || last.Detail == "" || last.Receipt.First.IsZero() || last.Receipt.Last.Before(last.Receipt.First):
		return fmt.Errorf("the receipt lacks something: %+v", last)
	}
	for _, p := range parts {
		if err := p.kind.Revert(ctx, p.x, p.undo); err != nil {
			return fmt.Errorf("undone again: %w", err)
		}
	}
	if open, err := ReadJournal(path); err != nil || len(open) > 0 {
		return fmt.Errorf("the journal leaves open %v: %w", open, err)
	}
	for _, c := range all {
		c.close() // what a fault left of a connection is not the point
		if x := c.use(); x.err != nil || e.hit(x) {
			return fmt.Errorf("after the fault a caller sees %+v", x)
		}
	}
	return l.same(ctx)
}

// leased is an error if the proxy holds something that would stay without us.
func (l *lab) leased(ctx context.Context) error {
	stages, err := proxy.NewClient(l.proxy).Stages(ctx)
	for _, st := range stages {
		if st.Stage.Owner != "lab" || st.Expires.IsZero() || time.Until(st.Expires) > labLease {
			err = errors.Join(err, fmt.Errorf("stage %s on %s belongs to %q until %s", st.ID, st.Proxy, st.Stage.Owner, st.Expires))
		}
	}
	return err
}

// same is an error if the world is not as it was before everything.
func (l *lab) same(ctx context.Context) error {
	if diff, err := l.changed(ctx); err != nil || diff != "" {
		return errors.Join(errors.New("the world is not as before: "+diff), err)
	}
	return nil
}

// useAll has all callers use the target so many times, at once.
func useAll(all []caller, times int, hit func(exchange) bool) []use {
	seen := make([][]use, len(all))
	var done sync.WaitGroup
	for i, c := range all {
		done.Go(func() {
			for range times {
				x := c.use()
				seen[i] = append(seen[i], use{i, x, hit(x)})
			}
		})
	}
	done.Wait()
	return slices.Concat(seen...)
}

// atOnce measures when callers on live connections meet the fault, and when
// they do no more. The machine's own noise is measured by the same callers
// before: a round in which they see the fault already shows nothing, and a bound
// that noise may break once is broken only if three rounds break it.
func (l *lab) atOnce(t *testing.T, e entry) {
	if e.notAtOnce != "" {
		t.Log("not measured: " + e.notAtOnce)
		return
	}
	var errs []error
	for range 3 {
		late, err := l.promptness(t, e)
		if err == nil {
			t.Log(late)
			return
		}
		errs = append(errs, err)
	}
	assert.NoError(t, errors.Join(errs...))
}

// atMost is the time that a fault may take to reach live connections, and to leave them.
const atMost = 5 * time.Millisecond

func (l *lab) promptness(t *testing.T, e entry) (string, error) {
	ctx := t.Context()
	in, _, _ := l.injector(t, faults.Builtin())
	s := l.spec(t, e, "f")
	const manyCallers = 8
	seen := make([][]use, manyCallers)
	stop := make(chan struct{})
	var done sync.WaitGroup
	var since atomic.Pointer[time.Time] // the last step
	var made atomic.Int64               // uses that began after it
	enough := func(after time.Time) {
		since.Store(&after)
		made.Store(0) // some callers still wait for what they began before
		until(ctx, 5*time.Second, func() bool { return made.Load() >= 5*manyCallers })
	}
	for i := range seen {
		done.Go(func() {
			c := e.caller(l)
			defer c.close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				x := c.use()
				seen[i] = append(seen[i], use{i, x, e.hit(x)})
				if after := since.Load(); after != nil && x.began.After(*after) {
					made.Add(1)
				}
				pause(ctx, time.Millisecond)
			}
		})
	}
	enough(time.Now())
	asked := time.Now()
	err := in.Start(ctx, s)
	injected := time.Now()
	enough(injected.Add(atMost))
	revert := time.Now()
	err = errors.Join(err, in.StopAll(ctx))
	reverted := time.Now()
	enough(reverted.Add(atMost))
	close(stop)
	done.Wait()
	if err != nil {
		return "", err
	}
	var noise, before, spared, during, lingering, after int
	for _, u := range slices.Concat(seen...) {
		switch {
		case u.ended().Before(asked):
			before++
			noise += count(u.hit)
		case u.began.After(injected.Add(atMost)) && u.ended().Before(revert):
			during++
			spared += count(!u.hit)
		case u.began.After(reverted.Add(atMost)):
			after++
			lingering += count(u.hit)
		}
	}
	figures := fmt.Sprintf("%d of %d hit before, %d of %d spared while it stood, %d of %d hit after", noise, before, spared, during, lingering, after)
	switch {
	case noise > 0:
		return "", errors.New("the machine alone looks like the fault: " + figures)
	case before < manyCallers || after < manyCallers || during == 0:
		return "", errors.New("too few uses to tell: " + figures)
	case !e.sometimes && spared*100 > during || lingering*100 > after:
		return "", errors.New(figures)
	}
	return figures, nil
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// pause is time that passes for callers; nothing is concluded from its end.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// overlaps lets every two kinds that can stand on the same target do so, and
// undoes them in both orders.
func (l *lab) overlaps(t *testing.T, on string) {
	kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(entries)), func(kind string) bool { return entries[kind].on != on })
	for i, a := range kinds {
		for _, b := range kinds[i+1:] {
			for _, order := range [][]string{{a, b}, {b, a}} {
				if err := l.overlap(t, entries[a], entries[b], order); err != nil {
					t.Errorf("%s with %s, undone %v: %v", a, b, order, err)
					require.NoError(t, l.same(t.Context()), "nothing can be tried any more")
				}
			}
		}
	}
}

func (l *lab) overlap(t *testing.T, a, b entry, order []string) error {
	ctx := t.Context()
	in, _, path := l.injector(t, faults.Builtin())
	for _, e := range []entry{a, b} {
		if e.cannot() != "" {
			return nil
		}
	}
	if err := in.Start(ctx, l.spec(t, a, a.kind)); err != nil {
		return err
	}
	second := in.Start(ctx, l.spec(t, b, b.kind))
	if second != nil {
		// What one has to itself the other is refused; the first must not have suffered.
		order = []string{a.kind}
	}
	for i, id := range order {
		if err := in.Stop(ctx, id); err != nil {
			return errors.Join(err, in.StopAll(ctx))
		}
		if i == 0 && second == nil {
			if diff, err := l.changed(ctx); err != nil || diff == "" && !entries[order[1]].harmless {
				return errors.Join(errors.New("undoing one undid the other"), err, in.StopAll(ctx))
			}
		}
	}
	if open, err := ReadJournal(path); err != nil || len(open) > 0 {
		return fmt.Errorf("the journal leaves open %v: %w", open, err)
	}
	return l.same(ctx)
}
