package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"squall/faults"
)

// put adds or replaces a stage and waits, bounded, for live connections.
func (l *link) put(ctx context.Context, id string, s faults.Stage) (faults.StageStatus, error) {
	st, err := newStage(id, s, l.protocol)
	if err != nil {
		return faults.StageStatus{}, badRequest(err)
	}
	l.tallies.join(l, st)
	err = l.change(ctx, func(stages []*stage) []*stage {
		if i := slices.IndexFunc(stages, hasID(id)); i >= 0 {
			stages[i] = st
			return stages
		}
		return append(stages, st)
	})
	if err != nil {
		return faults.StageStatus{}, err
	}
	return l.statusOf(st), nil
}

// remove removes the stages that match, waits as put does, and says how many.
func (l *link) remove(ctx context.Context, match func(*stage) bool) (n int, err error) {
	if !slices.ContainsFunc(l.current().stages, match) {
		return 0, nil
	}
	err = l.change(ctx, func(stages []*stage) []*stage {
		kept := slices.DeleteFunc(slices.Clone(stages), match)
		n = len(stages) - len(kept)
		return kept
	})
	return n, err
}

func hasID(id string) func(*stage) bool     { return func(s *stage) bool { return s.id == id } }
func ownedBy(name string) func(*stage) bool { return func(s *stage) bool { return s.Owner == name } }

// change replaces the setting and waits until live connections have switched,
// or for the switch timeout, whichever comes first.
func (l *link) change(ctx context.Context, edit func([]*stage) []*stage) error {
	old, next, err := l.apply(edit)
	l.wakeKeeper()
	if next.gen != old.gen {
		l.waitSwitched(ctx, next.gen)
	}
	return err
}

// apply replaces the setting and makes live connections look at it.
func (l *link) apply(edit func([]*stage) []*stage) (old, next *setting, err error) {
	l.mu.Lock()
	old = l.current()
	next = newSetting(old, edit(slices.Clone(old.stages)))
	l.enrol(old, next)
	l.setting.Store(next)
	close(old.changed)
	for _, st := range old.stages {
		if !slices.Contains(next.stages, st) {
			close(st.removed)
			l.tallies.leave(l, st)
		}
	}
	over, err := l.syncKernel(old, next)
	err = errors.Join(err, l.syncListener())
	l.startFlaps(old, next)
	l.mu.Unlock()

	err = errors.Join(err, closeTables(over...))
	l.bite(old, next)
	if next.gen != old.gen {
		for _, c := range l.live() {
			c.kick()
		}
	}
	return old, next, err
}

// enrol numbers the live connections, oldest first, for the stages that come
// into force. l.mu is held.
func (l *link) enrol(old, next *setting) {
	var conns []*conn
	for _, st := range next.awake {
		if slices.Contains(old.awake, st) {
			continue
		}
		if st.gen = next.gen; st.onlyNew() {
			continue
		}
		if conns == nil {
			conns = slices.SortedFunc(maps.Keys(l.conns), func(a, b *conn) int { return cmp.Compare(a.id, b.id) })
		}
		for _, c := range conns {
			c.enrol(st)
		}
	}
}

// bite cuts live connections where a stage that has come into force, or has
// grown, wants that.
func (l *link) bite(old, next *setting) {
	for _, st := range next.reset {
		if slices.Contains(old.reset, st) && st.Ramp == 0 {
			continue
		}
		for _, c := range l.live() {
			if c.chosen(st) {
				c.strike(st)
			}
		}
	}
	for _, st := range next.tls {
		if st.TLS.Reset && !slices.Contains(old.tls, st) {
			l.sendAway(st)
		}
	}
	if next.refuse != nil && next.refuse != old.refuse {
		for _, c := range l.live() {
			c.strike(next.refuse)
		}
		l.canary(next.refuse)
	}
}

// canary dials the edge once: with no live connection to cut, this is the
// only proof that connections are refused. It is not counted as a hit.
func (l *link) canary(st *stage) {
	l.mu.Lock()
	addr := l.listen
	l.mu.Unlock()
	st.packets.ours(func() (refused uint64) {
		nc, err := net.DialTimeout("tcp", addr, time.Second)
		note := fmt.Sprintf("canary dial: %v", err)
		switch {
		case err == nil:
			nc.Close()
			note = "canary dial was accepted"
		case errors.Is(err, syscall.ECONNREFUSED):
			note, refused = "canary dial refused", 1
		}
		st.canary.Store(&note)
		return refused
	})
}

// waitSwitched polls: the wait is rare and short, and a counter shared by all
// connections would cost every read something.
func (l *link) waitSwitched(ctx context.Context, gen uint64) {
	ctx, cancel := context.WithTimeout(ctx, l.opts.SwitchTimeout)
	defer cancel()
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if _, pending := l.switched(gen); pending == 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-l.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// switched counts the live connections under generation gen and those not yet.
func (l *link) switched(gen uint64) (applied, pending int) {
	for _, c := range l.live() {
		if c.reads(gen) {
			applied++
		} else {
			pending++
		}
	}
	return applied, pending
}

// blind counts the live connections whose protocol cannot be followed.
func (l *link) blind() (n int) {
	for _, c := range l.live() {
		if c.blind.Load() {
			n++
		}
	}
	return n
}

// status returns faults.ErrNoStage when there is none of that id.
func (l *link) status(id string) (faults.StageStatus, error) {
	stages := l.current().stages
	i := slices.IndexFunc(stages, hasID(id))
	if i < 0 {
		return faults.StageStatus{}, fmt.Errorf("proxy %s: stage %s: %w", l.name, id, faults.ErrNoStage)
	}
	return l.statusOf(stages[i]), nil
}

func (l *link) statusOf(st *stage) faults.StageStatus {
	out := faults.StageStatus{ID: st.id, Proxy: l.name, Stage: st.Stage, Receipt: st.receipt(), Delay: st.delays.summary()}
	l.mu.Lock()
	gen := st.gen
	out.Expires = st.expires
	l.mu.Unlock()
	out.Applied, out.Pending = l.switched(gen)
	if n := l.blind(); n > 0 && st.perUnit() {
		out.Receipt.Note = strings.TrimPrefix(fmt.Sprintf("%s; %d live connections cannot be followed and pass as they are", out.Receipt.Note, n), "; ")
	}
	return out
}
