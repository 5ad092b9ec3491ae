package proxy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"squall/faults"
)

// growStep is how often the share of a packet loss grows under a ramp.
const growStep = 20 * time.Millisecond

// packets is what a stage has in the kernel.
type packets struct {
	mu    sync.Mutex
	table *faults.PacketTable // nil: nothing
	taken uint64              // of its count, into the hits of the stage
	err   error
}

// inKernel are the stages that lose packets, and the one that refuses connections.
func (s *setting) inKernel() []*stage {
	if s.refuse == nil || s.refuse.Mode != faults.LinkRefuse {
		return s.packets
	}
	return append(slices.Clone(s.packets), s.refuse)
}

// syncKernel begins what comes into force, and then hands out what has ended: no
// packet passes between a stage and the one that takes its place. l.mu is held,
// and the listener has not been closed yet; closing a table may take a while.
func (l *link) syncKernel(old, next *setting) (over []*faults.PacketTable, err error) {
	var errs []error
	for _, st := range next.inKernel() {
		if !l.closed && !slices.Contains(old.inKernel(), st) {
			errs = append(errs, l.beginPackets(st))
		}
	}
	for _, st := range old.inKernel() {
		if !slices.Contains(next.inKernel(), st) {
			over = append(over, st.endPackets())
		}
	}
	return over, errors.Join(errs...)
}

func closeTables(tables ...*faults.PacketTable) error {
	var errs []error
	for _, t := range tables {
		if t != nil {
			errs = append(errs, t.Close())
		}
	}
	return errors.Join(errs...)
}

func (l *link) beginPackets(st *stage) error {
	p := &st.packets
	p.mu.Lock()
	defer p.mu.Unlock()
	at, err := netip.ParseAddrPort(l.listen)
	if err != nil {
		return fmt.Errorf("address of %s: %w", l.name, err)
	}
	if st.Packets == nil {
		// Where the kernel does not let us, nobody knows who was refused.
		p.table, _ = faults.CountRefused(at)
		return nil
	}
	rule := *st.Packets
	if st.Ramp > 0 {
		rule.Drop = 0.001
		l.wg.Go(func() { l.growLoss(st) })
	}
	if p.table, p.err = faults.DropPackets(at, rule, st.seedOn(l), leaseLeft(st.expires)); p.err != nil {
		return fmt.Errorf("drop packets of %s: %w", l.name, p.err)
	}
	return nil
}

// leaseLeft is 0 where there is no lease, and more where it is over.
func leaseLeft(expires time.Time) time.Duration {
	if expires.IsZero() {
		return 0
	}
	return max(time.Until(expires), time.Millisecond)
}

// seedOn is the stage's chance on one of its links: they do not lose in step.
func (s *stage) seedOn(l *link) uint64 {
	return uint64(chance(s.Seed, s.id+" on "+l.name, 0) * (1 << 53))
}

// growLoss makes the loss follow the ramp until it is full or the stage goes.
func (l *link) growLoss(st *stage) {
	tick := time.NewTicker(growStep)
	defer tick.Stop()
	for grown := 0.0; grown < 1; {
		select {
		case <-tick.C:
		case <-st.removed:
			return
		case <-l.ctx.Done():
			return
		}
		grown = st.ramp(time.Now())
		st.packets.grow(st.Packets.Drop * grown)
	}
}

func (p *packets) grow(share float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.table == nil {
		return
	}
	if err := p.table.Grow(share); err != nil {
		p.err = err
	}
}

// countPackets takes what the kernel has counted over into the stage's hits.
func (s *stage) countPackets() {
	p := &s.packets
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.table == nil {
		return
	}
	n, err := p.table.Count()
	if err != nil {
		p.err = err
		return
	}
	if n > p.taken {
		s.hit(n - p.taken)
		p.taken = n
	}
}

// ours does something whose packets are nobody's hits; it tells how many count.
func (p *packets) ours(do func() uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := do(); p.table != nil {
		p.taken += n
	}
}

// renewPackets makes the kernel's lease end so long from now. It fails when the
// kernel has ended the drop: then the stage must go too.
func (s *stage) renewPackets(ttl time.Duration) error {
	s.packets.mu.Lock()
	defer s.packets.mu.Unlock()
	if s.packets.table == nil { // asleep
		return nil
	}
	return s.packets.table.Renew(ttl)
}

// endPackets counts for the last time and hands out the table, which is to be closed.
func (s *stage) endPackets() *faults.PacketTable {
	s.countPackets()
	p := &s.packets
	p.mu.Lock()
	defer p.mu.Unlock()
	table := p.table
	p.table, p.taken = nil, 0
	return table
}

// String says what went wrong, if anything did.
func (p *packets) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		return ""
	}
	return p.err.Error()
}
