package inject

import (
	"context"
	"errors"
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

// look refreshes the receipt; the first hit makes the fault biting. A look that
// fails, or that sees less than an earlier one because the fault has ended,
// leaves the last receipt: the fault has bitten as far as was seen.
func (in *Injector) look(ctx context.Context, j *injection) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	e, err := j.fault.Observe(ctx, j.x())
	if err != nil {
		return
	}
	if e.Receipt.Hits > 0 && e.Receipt.Hits >= j.receipt.Hits || j.receipt.Hits == 0 && e.Receipt.Unit != "" {
		j.receipt = e.Receipt
	}
	if j.receipt.Hits > 0 && j.state == record.FaultInjected {
		_ = in.advance(j, record.FaultBiting) // allowed from injected
	}
	if e.Active {
		j.stood = true
	} else if j.stood && !j.fell && !j.kind.Transient {
		j.fell = true
		in.report(j, record.FaultFailed, errFell)
	}
}
