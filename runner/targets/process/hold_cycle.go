package process

import (
	"context"
	"fmt"
	"sync"
	"time"

	"squall/faults"
)

// cycle ends a service and starts it again. It only starts what it has ended
// itself: a service that somebody else has ended is for them to start.
type cycle struct {
	keep *keeper
	svc  *service
	rule faults.Cycle

	cancel context.CancelFunc
	done   chan struct{}

	mu    sync.Mutex
	falls []fall
	over  bool
	err   error // why it has not come up again
}

// fall is one time that the service was down.
type fall struct {
	pid    int
	how    string
	at, up time.Time // up is zero while it is down
}

// cycleRest keeps a service that cannot start from being started without a pause.
const cycleRest = 10 * time.Millisecond

// itemsKept bounds what a receipt lists.
const itemsKept = 20

// newCycle returns once the service has ended for the first time.
func newCycle(ctx context.Context, k *keeper, s *service, rule faults.Cycle) (*cycle, error) {
	c := &cycle{keep: k, svc: s, rule: rule, done: make(chan struct{})}
	if err := c.end(ctx); err != nil {
		return nil, err
	}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go c.run(ctx)
	return c, nil
}

func (c *cycle) run(ctx context.Context) {
	defer close(c.done)
	for n := uint64(1); ; n++ {
		for up := false; !up; up = c.start(ctx) == nil {
			if !pause(ctx, max(c.rule.Down, cycleRest)) {
				return
			}
		}
		if n == c.rule.Times {
			c.mu.Lock()
			c.over = true
			c.mu.Unlock()
			return
		}
		if !pause(ctx, c.rule.Up) {
			return
		}
		for c.end(ctx) != nil { // somebody else has it down
			if !pause(ctx, readyEvery) {
				return
			}
		}
	}
}

// pause reports whether the time went by; ctx ended otherwise.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// end ends the process that runs now and sees it dead.
func (c *cycle) end(ctx context.Context) error {
	child := c.svc.current()
	if child == nil {
		return faults.ErrNotRunning
	}
	if state := child.state(); state != stateRunning { // another fault has it
		return fmt.Errorf("it is %s, expected %s", state, stateRunning)
	}
	if err := c.keep.signal(c.svc.launch.Name, child.id, c.rule.Signal); err != nil {
		return err
	}
	c.fell(fall{pid: child.id.PID, how: "SIG" + c.rule.Signal, at: time.Now()})
	if c.rule.Signal == "TERM" && !c.endsByItself(ctx, child) {
		_ = c.keep.signal(c.svc.launch.Name, child.id, "KILL") // it may have ended meanwhile
	}
	// It is waited for even when the hold is being undone: what has been killed
	// has to be started again.
	if !child.endsWithin(killGrace) {
		return fmt.Errorf("process %d is still there %s after SIGKILL", child.id.PID, killGrace)
	}
	return nil
}

func (c *cycle) fell(f fall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.falls = append(c.falls, f)
}

// endsByItself waits for as long as the grace lasts; there is none left when
// the hold is undone.
func (c *cycle) endsByItself(ctx context.Context, child *child) bool {
	grace := time.NewTimer(c.rule.Grace)
	defer grace.Stop()
	how := ", killed after " + c.rule.Grace.String()
	select {
	case <-child.ended:
		return true
	case <-grace.C:
	case <-ctx.Done():
		how = ", killed by the undo"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.falls[len(c.falls)-1].how += how
	return false
}

func (c *cycle) start(ctx context.Context) error {
	err := c.keep.start(ctx, c.svc.launch.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	if err == nil {
		c.falls[len(c.falls)-1].up = time.Now()
	}
	return err
}

// status counts the times the service was ended.
func (c *cycle) status(context.Context) (faults.Evidence, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := faults.Receipt{Unit: "processes", Hits: uint64(len(c.falls)), First: c.falls[0].at, Last: c.falls[len(c.falls)-1].at}
	var all, longest time.Duration
	for i, f := range c.falls {
		down := f.down()
		all, longest = all+down, max(longest, down)
		says := fmt.Sprintf("pid %d: %s, down %s", f.pid, f.how, down.Round(time.Millisecond))
		if f.up.IsZero() {
			says += " so far"
		}
		if i < itemsKept {
			r.Items = append(r.Items, says)
		}
	}
	r.Note = fmt.Sprintf("down %s in all, longest %s", all.Round(time.Millisecond), longest.Round(time.Millisecond))
	if c.err != nil {
		r.Note += "; " + c.err.Error()
	}
	return faults.Evidence{Active: !c.over, Receipt: r}, nil
}

func (f fall) down() time.Duration {
	if f.up.IsZero() {
		return time.Since(f.at)
	}
	return f.up.Sub(f.at)
}

func (c *cycle) stop() {
	c.cancel()
	<-c.done
}

func (c *cycle) release(ctx context.Context) error {
	c.mu.Lock()
	down := c.falls[len(c.falls)-1].up.IsZero()
	c.mu.Unlock()
	if !down {
		return nil
	}
	return c.start(ctx)
}
