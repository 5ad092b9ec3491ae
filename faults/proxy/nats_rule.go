package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"squall/faults"
)

// concerns tells by the control line alone whether a rule may act on the message.
func (l *natsLane) concerns(f *natsFrame, s *setting) bool {
	if !f.op.message {
		return false
	}
	found := false
	for _, st := range s.bus {
		switch {
		case !l.looksAt(st, f):
		case f.size() > maxNATSMessage:
			st.tooBig.Add(1)
		default:
			found = true
		}
	}
	return found
}

// looksAt tells by the control line whether a rule is about the message.
func (l *natsLane) looksAt(st *stage, f *natsFrame) bool {
	r := st.Bus
	switch r.Of {
	case faults.BusDelivery:
		return l.down && faults.SubjectCovers(r.Subject, f.subject)
	case faults.BusPublish:
		return !l.down && faults.SubjectCovers(r.Subject, f.subject)
	case faults.BusAck:
		a, ok := natsAckOf(f.subject)
		return ok && !l.down && (r.Stream == "" || r.Stream == string(a.stream)) && (r.Consumer == "" || r.Consumer == string(a.consumer))
	default: // the acknowledgement of a publication
		if l.down {
			return l.n.awaits(f.subject, st)
		}
		return len(f.reply) > 0 && faults.SubjectCovers(r.Subject, f.subject)
	}
}

// matches tells whether a message that a rule is about counts for it.
func (l *natsLane) matches(st *stage, m *natsMessage) bool {
	switch {
	case st.Bus.Of == faults.BusAck:
		return m.isAck()
	case st.Bus.Of == faults.BusPublishAck && l.down:
		return m.isPubAck() // what was published did match
	}
	for name, want := range st.Match.Header {
		if !matchText(want, m.field(name)) {
			return false
		}
	}
	return st.Match.Key == "" || matchText(st.Match.Key, m.field(natsIDField)) || matchText(st.Match.Key, m.field(natsOperationField))
}

// natsDecision is what the rules want of one message.
type natsDecision struct {
	id          string
	drop, twice bool
	delayer     *stage // the last that delays it; nil: none
	due         time.Time
	acts        []Act
}

// decide asks all rules in order. The longest delay counts; every rule counts
// what matches it.
func (l *natsLane) decide(m *natsMessage, s *setting) natsDecision {
	d := natsDecision{id: m.id()}
	for _, st := range s.bus {
		if !st.awake() || !l.looksAt(st, &m.natsFrame) || !l.matches(st, m) {
			continue
		}
		if st.Bus.Of == faults.BusPublishAck {
			if !l.down {
				l.n.await(m, st)
				continue
			}
			d.id = l.n.answered(m.subject, st)
		}
		if st.Bus.Action == faults.BusDelay {
			if due, behind := l.hold.behind(st); behind { // order is kept
				d.wait(st, due)
			}
		}
		if n, hit := st.takes(); hit {
			d.add(st, n)
		}
	}
	return d
}

func (d *natsDecision) add(st *stage, n uint64) {
	switch st.Bus.Action {
	case faults.BusDrop:
		d.drop = true
	case faults.BusDuplicate:
		d.twice = true
	case faults.BusDelay:
		now := time.Now()
		d.wait(st, now.Add(time.Duration(float64(st.Bus.Delay)*st.ramp(now))))
	}
	st.hit(1)
	st.items.add(d.id)
	d.acts = append(d.acts, Act{st.id, n, st.act()})
}

// wait delays the message until the latest that any rule wants.
func (d *natsDecision) wait(st *stage, due time.Time) {
	if d.delayer == nil || due.After(d.due) {
		d.delayer, d.due = st, due
	}
}

// act does with a message what the rules want.
func (l *natsLane) act(m *natsMessage, s *setting) error {
	d := l.decide(m, s)
	if len(d.acts) > 0 {
		l.log(m, d)
	}
	if d.drop {
		return nil
	}
	all := [][]byte{m.raw}
	if d.twice {
		all = append(all, m.again())
	}
	for _, raw := range all {
		if d.delayer != nil {
			l.delay(natsHeld{bytes.Clone(raw), d.delayer, time.Now(), d.due})
			continue
		}
		if err := l.write(raw); err != nil {
			return err
		}
	}
	return nil
}

// log writes a message that was acted on to the wire log; others would be too many.
func (l *natsLane) log(m *natsMessage, d natsDecision) {
	at := time.Now().UnixNano()
	e := Exchange{
		At: at, Edge: l.n.link.edge, Conn: l.n.id, N: l.n.link.requests.Add(1),
		Method: m.op.name, Path: string(m.subject), Op: m.field(natsOperationField), Key: d.id, Trace: traceID(m.field("traceparent")),
		Sent: !d.drop, Fault: d.acts[0].Stage, Acts: append(l.n.acts(), d.acts...),
	}
	if l.down {
		e.Out = int64(len(m.raw))
	} else {
		e.In = int64(len(m.raw))
	}
	l.n.link.log(&e)
}

// checkBus reports everything that is wrong with a bus rule.
func checkBus(r faults.BusRule) error {
	var errs []error
	switch r.Of {
	case faults.BusDelivery, faults.BusPublish, faults.BusPublishAck:
		if r.Subject == "" {
			errs = append(errs, fmt.Errorf("a rule for %s needs a subject", r.Of))
		}
	case faults.BusAck:
	default:
		errs = append(errs, fmt.Errorf("unknown flow %q, expected delivery, publish, ack or publish-ack", r.Of))
	}
	switch r.Action {
	case faults.BusDuplicate, faults.BusDrop:
	case faults.BusDelay:
		if r.Delay <= 0 {
			errs = append(errs, fmt.Errorf("delay %v is not positive", r.Delay))
		}
	default:
		errs = append(errs, fmt.Errorf("unknown bus action %q, expected duplicate, delay or drop", r.Action))
	}
	return errors.Join(errs...)
}
