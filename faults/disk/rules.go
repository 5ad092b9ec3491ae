package disk

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"

	"squall/faults"
)

// operation is what a service wants to do.
type operation struct {
	kind  faults.DiskOperation // empty: none that a disk is slow at
	grows func() bool          // whether it needs more room; nil: it does not
}

func always() bool { return true }

// rules are those on one volume.
type rules struct {
	any  atomic.Bool // whether there are rules at all: most of the time there are none
	mu   sync.RWMutex
	byID map[string]*rule
}

// rule is one of them at work.
type rule struct {
	faults.DiskRule
	seed  uint64
	since time.Time
	gone  chan struct{} // closed when it is removed

	mu      sync.Mutex
	seen    uint64 // operations that it concerns
	receipt faults.Receipt
	over    uint64        // delays over
	delayed time.Duration // those, in all
	longest time.Duration
}

// put refuses a name that is taken.
func (r *rules) put(id string, d faults.DiskRule, seed uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[id] != nil {
		return fmt.Errorf("rule %q is there already", id)
	}
	if r.byID == nil {
		r.byID = map[string]*rule{}
	}
	r.byID[id] = &rule{DiskRule: d, seed: seed, since: time.Now(), gone: make(chan struct{}), receipt: faults.Receipt{Unit: "operations"}}
	r.any.Store(true)
	return nil
}

// remove is idempotent. What a rule delays goes on at once.
func (r *rules) remove(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x := r.byID[id]; x != nil {
		close(x.gone)
	}
	delete(r.byID, id)
	r.any.Store(len(r.byID) > 0)
}

func (r *rules) find(id string) *rule {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

func (r *rules) ids() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.byID))
}

// concerning are the rules that concern the caller, in the order of their names.
func (r *rules) concerning(ctx context.Context) (out []*rule) {
	if !r.any.Load() {
		return nil
	}
	var pid uint32
	if caller, ok := fuse.FromContext(ctx); ok {
		pid = caller.Pid
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, id := range slices.Sorted(maps.Keys(r.byID)) {
		if x := r.byID[id]; x.Process == "" || belongs(int(pid), x.Process) {
			out = append(out, x)
		}
	}
	return out
}

// ask has an operation wait as long as the rules say, and returns why it fails,
// 0 if it does not.
func (r *rules) ask(ctx context.Context, op operation) syscall.Errno {
	concern := r.concerning(ctx)
	for _, x := range concern {
		if !x.slows(op.kind) {
			continue
		}
		if delay, hit := x.take(); hit && !x.hold(ctx, delay) {
			return syscall.EINTR // the caller is being killed
		}
	}
	for _, x := range concern {
		if !x.Full || op.grows == nil || !op.grows() {
			continue
		}
		if _, hit := x.take(); hit {
			return syscall.ENOSPC
		}
	}
	return 0
}

// full says whether the caller is to find no room, whatever it does.
func (r *rules) full(ctx context.Context) bool {
	return slices.ContainsFunc(r.concerning(ctx), func(x *rule) bool { return x.Full && !x.limited() })
}

func (x *rule) limited() bool {
	m := x.Match
	return m.From > 0 || m.First > 0 || m.Every > 0 || m.Probability > 0 || x.Cap > 0 || x.Ramp > 0
}

func (x *rule) slows(kind faults.DiskOperation) bool {
	return x.Delay > 0 && kind != "" && (len(x.Operations) == 0 || slices.Contains(x.Operations, kind))
}

// hold reports whether the caller is still there afterwards.
func (x *rule) hold(ctx context.Context, delay time.Duration) bool {
	begun := time.Now()
	t := time.NewTimer(delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-x.gone:
	case <-ctx.Done():
		return false
	}
	x.delivered(time.Since(begun))
	return true
}

// take counts an operation that the rule concerns, and tells whether it is hit
// and how long it is delayed: evenly around Delay, by up to Jitter. That depends
// on seed and number alone; under a ramp it grows with time.
func (x *rule) take() (delay time.Duration, hit bool) {
	now := time.Now()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.seen++
	chance := rand.New(rand.NewPCG(x.seed, x.seen))
	draw, jitter := chance.Float64(), 2*chance.Float64()-1
	if !x.Match.Counts(x.seen) || draw >= x.share(now) || x.Cap > 0 && x.receipt.Hits >= x.Cap {
		return 0, false
	}
	x.hit(now)
	return time.Duration(x.ramp(now) * (float64(x.Delay) + jitter*float64(x.Jitter))), true
}

// share of the operations that is hit, of those that are chosen by number.
func (x *rule) share(now time.Time) float64 {
	share := 1.0
	if x.Match.Probability > 0 {
		share = x.Match.Probability
	}
	if x.Full {
		share *= x.ramp(now)
	}
	return share
}

// ramp is how far the rule has grown, from 0 to 1.
func (x *rule) ramp(now time.Time) float64 {
	if x.Ramp <= 0 {
		return 1
	}
	return min(float64(now.Sub(x.since))/float64(x.Ramp), 1)
}

// itemsKept bounds what a receipt lists.
const itemsKept = 20

func (x *rule) hit(now time.Time) {
	x.receipt.Hits++
	x.receipt.Last = now
	if x.receipt.First.IsZero() {
		x.receipt.First = now
	}
	if len(x.receipt.Items) < itemsKept {
		x.receipt.Items = append(x.receipt.Items, fmt.Sprintf("operation %d", x.seen))
	}
}

func (x *rule) delivered(delay time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over++
	x.delayed += delay
	x.longest = max(x.longest, delay)
}

func (x *rule) status() faults.Evidence {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.receipt
	r.Items = slices.Clone(r.Items)
	if x.over > 0 {
		mean := x.delayed / time.Duration(x.over)
		r.Note = fmt.Sprintf("delayed by %s on average, at most %s", mean.Round(10*time.Microsecond), x.longest.Round(10*time.Microsecond))
	}
	return faults.Evidence{Active: true, Receipt: r}
}
