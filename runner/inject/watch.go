package inject

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"squall/runner/record"
)

// A standing fault is looked at often until it bites, because that instant
// matters, and less often from then on; one that does not bite for a while is
// not likely to do so in the next moment.
const (
	observeSoon  = 20 * time.Millisecond
	observeLater = 200 * time.Millisecond
	soonFor      = 2 * time.Second
	lookWithin   = 2 * time.Second
)

// errFell is reported once for a fault that ended by itself, such as a stage
// whose lease ran out: it did not stand as long as the plan says.
var errFell = errors.New("ended before it was reverted")

// watch is the goroutine that looks at a standing fault.
type watch struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (w watch) stop() {
	if w.cancel != nil {
		w.cancel()
		<-w.done
	}
}

// observe looks at j until it is stopped. An interrupt of ctx does not end
// that: the fault still stands.
func (in *Injector) observe(ctx context.Context, j *injection) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	j.watch = watch{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(j.watch.done)
		begun := time.Now()
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-timer.C:
			}
			j.mu.Lock()
			in.look(ctx, j)
			biting := j.state == record.FaultBiting
			j.mu.Unlock()
			if biting || time.Since(begun) > soonFor {
				timer.Reset(observeLater)
			} else {
				timer.Reset(observeSoon)
			}
		}
	}()
}

// look refreshes the receipt; the first hit on any target makes the fault biting.
func (in *Injector) look(ctx context.Context, j *injection) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	_ = each(j.parts, func(p *part) error { p.look(ctx); return nil })
	j.receipt = sum(j.parts)
	if j.receipt.Hits > 0 && j.state == record.FaultInjected {
		_ = in.advance(j, record.FaultBiting) // allowed from injected
	}
	if i := slices.IndexFunc(j.parts, func(p *part) bool { return p.fell && !p.kind.Transient }); i >= 0 && !j.fell {
		j.fell = true
		in.report(j, record.FaultFailed, fallen(j, j.parts[i]))
	}
}

func fallen(j *injection, p *part) error {
	if len(j.parts) == 1 {
		return errFell
	}
	return fmt.Errorf("%s: %w", p.name, errFell)
}
