package process

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"squall/faults"
)

// A period is that of the kernel's CPU bandwidth control (cpu.max), whose effect
// this is: run until the share is used up, then stand still for the rest. Within
// it we look again when, at the earliest, the share can be used up.
const (
	cpuPeriod = 100 * time.Millisecond
	cpuLook   = time.Millisecond
)

// throttle leaves a service a share of the processors. It stops and continues
// it by signals, which needs no privileges and ends with the supervisor.
type throttle struct {
	svc    *service
	cores  float64
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	before  float64 // cores used on average until the hold began
	since   time.Time
	used    time.Duration // CPU time since
	still   time.Duration // time stood still since
	receipt faults.Receipt
}

func newThrottle(s *service, cores float64) *throttle {
	ctx, cancel := context.WithCancel(context.Background())
	t := &throttle{svc: s, cores: cores, cancel: cancel, done: make(chan struct{}), since: time.Now(), receipt: faults.Receipt{Unit: "periods"}}
	if c := s.current(); c != nil {
		if age := time.Since(c.started); age > 0 {
			t.before = cpuTime(c.id.PID).Seconds() / age.Seconds()
		}
	}
	go t.run(ctx)
	return t
}

func (t *throttle) run(ctx context.Context) {
	defer close(t.done)
	var carry time.Duration // what was used too much, as a negative share
	for ctx.Err() == nil {
		c := t.svc.current()
		if c == nil || c.state() == stateDead {
			carry = 0
			pause(ctx, cpuPeriod)
			continue
		}
		carry = min(0, t.period(ctx, c, carry))
	}
}

func (t *throttle) share() time.Duration { return time.Duration(t.cores * float64(cpuPeriod)) }

// period is one of them; it returns what is left of the share.
func (t *throttle) period(ctx context.Context, c *child, carry time.Duration) (left time.Duration) {
	end := time.Now().Add(cpuPeriod)
	share := t.share() + carry
	meter := newCPUMeter(c.id.PID)
	for rest := cpuPeriod; rest > 0 && ctx.Err() == nil; rest = time.Until(end) {
		left = share - meter.used()
		if left <= 0 {
			t.stand(ctx, c, rest)
			continue
		}
		pause(ctx, min(rest, max(cpuLook, left/time.Duration(runtime.NumCPU()))))
	}
	used := meter.used()
	t.mu.Lock()
	t.used += used
	t.mu.Unlock()
	return share - used
}

// stand has the process stand still for so long.
func (t *throttle) stand(ctx context.Context, c *child, d time.Duration) {
	begun := time.Now()
	if c.still(1) != nil {
		pause(ctx, d) // it has ended
		return
	}
	pause(ctx, d)
	_ = c.still(-1) // it may have ended meanwhile
	t.mu.Lock()
	defer t.mu.Unlock()
	t.still += time.Since(begun)
	t.receipt.Hits++
	t.receipt.Last = begun
	if t.receipt.First.IsZero() {
		t.receipt.First = begun
	}
}

func (t *throttle) status(context.Context) (faults.Evidence, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, span := t.receipt, time.Since(t.since)
	r.Note = fmt.Sprintf("used %.2f of a core (%.2f before), stood still %s of %s",
		t.used.Seconds()/span.Seconds(), t.before, t.still.Round(time.Millisecond), span.Round(time.Millisecond))
	return faults.Evidence{Active: true, Receipt: r}, nil
}

func (t *throttle) stop() {
	t.cancel()
	<-t.done
}

// release: it runs since stop.
func (t *throttle) release(context.Context) error { return nil }

// cpuMeter measures the CPU time of a process and its children from now on.
// Those that come later are not seen before the next meter.
type cpuMeter struct{ from map[int]time.Duration }

func newCPUMeter(pid int) cpuMeter {
	m := cpuMeter{map[int]time.Duration{}}
	for _, p := range family(pid) {
		m.from[p] = cpuTime(p)
	}
	return m
}

func (m cpuMeter) used() (sum time.Duration) {
	for pid, from := range m.from {
		sum += max(0, cpuTime(pid)-from) // 0 when it has ended
	}
	return sum
}
