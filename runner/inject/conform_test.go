package inject

import (
	"errors"
	"net"
	"time"

	"squall/faults"
)

// entry is how one kind shows on real parts. Every builtin kind has one, in the
// file of whoever owns the kind.
type entry struct {
	kind   string
	on     string                // a target of labSystem
	params map[string]any        // so that every use is hit
	caller func(l *lab) caller   // who uses the target: web, echo, ...
	hit    func(x exchange) bool // what a caller sees of the fault, and never without it

	// receipt is what the fault must count: what of these uses it affected.
	receipt func(seen []use) uint64
	// inexact says why uses do not tell what a receipt counts; then it must count something.
	inexact string

	// sometimes: a use need not be hit, since the fault comes and goes.
	sometimes bool
	// notAtOnce says why the 5 ms do not apply to a kind; "" if they do.
	notAtOnce string
	// harmless says that the world is the same while the fault stands, since it
	// changes nothing that a snapshot shows, such as messages in a stream.
	harmless bool
	// missing says what this machine lacks for the target, besides what the kind
	// itself may miss; nil: nothing.
	missing func() string
}

// cannot says why the kind cannot be tried on this machine; "" if it can.
func (e entry) cannot() string {
	for _, missing := range []func() string{e.missing, faults.Builtin()[e.kind].Missing} {
		if missing == nil {
			continue
		}
		if why := missing(); why != "" {
			return why
		}
	}
	return ""
}

// use is one exchange, and which caller made it.
type use struct {
	by int
	exchange
	hit bool
}

var entries = map[string]entry{}

// conform registers how a kind shows; it is called by init functions.
func conform(e entry) {
	if _, dup := entries[e.kind]; dup {
		panic("two entries for " + e.kind)
	}
	entries[e.kind] = e
}

// What callers see.

func failed(x exchange) bool { return x.err != nil }

func silence(x exchange) bool {
	var late net.Error // a read's, or a dial's
	return errors.As(x.err, &late) && late.Timeout()
}

// slower is also what was so late that its caller gave up.
func slower(d time.Duration) func(exchange) bool {
	return func(x exchange) bool { return silence(x) || x.err == nil && x.took >= d }
}

func status(code int) func(exchange) bool {
	return func(x exchange) bool { return x.err == nil && x.status == code }
}

// What receipts count.

// uses counts every use that was hit.
func uses(seen []use) (n uint64) {
	for _, u := range seen {
		if u.hit {
			n++
		}
	}
	return n
}

// connections counts the connections on which a use was hit.
func connections(seen []use) uint64 {
	conns := map[[2]int]bool{}
	lost := 0
	for _, u := range seen {
		if u.hit {
			conns[[2]int{u.by, u.conn}] = true
			lost += u.lost
		}
	}
	return uint64(len(conns) + lost)
}

// callers counts the callers: their first connections are hit, and later ones
// are refused before anybody counts them.
func callers(seen []use) uint64 {
	all := map[int]bool{}
	for _, u := range seen {
		all[u.by] = all[u.by] || u.hit
	}
	return uint64(len(all))
}

// answered counts the bytes of answers that were hit.
func answered(seen []use) (n uint64) {
	for _, u := range seen {
		if u.hit {
			n += uint64(len(u.body))
		}
	}
	return n
}

// exactly counts n whatever callers do, such as the one process of a target.
func exactly(n uint64) func([]use) uint64 { return func([]use) uint64 { return n } }
