package proxy

import (
	"slices"
	"time"
)

// lineWeight is what a piece weighs beyond its bytes, so that a line of tiny
// pieces is bounded too.
const lineWeight = 128

// line holds what one direction of a connection has on its way through its
// toxics: a station for each, in order. It knows no sockets and no goroutines:
// its owner pushes in what it read and takes out what is due. So nothing in it
// can block, and bytes neither get lost nor change places.
type line struct {
	stations []*station
	out      queue // through all stations
}

// piece is some bytes of a stream, or its end.
type piece struct {
	data  []byte
	block *block    // where data lies; nil: nowhere that is used again
	end   error     // how the stream ends here; data is empty then
	came  time.Time // to the station it is at
	due   time.Time // not before then does it go on
}

func (p piece) weight() int { return len(p.data) + lineWeight }

// part cuts p to its bytes from..to, as a piece of its own.
func (p piece) part(from, to int) piece {
	if p.block != nil {
		p.block.refs++
	}
	p.data = p.data[from:to]
	return p
}

// push lets in what has just been read.
func (l *line) push(p piece, now time.Time) { l.enter(0, p, now) }

// next takes out what has passed all stations by now.
func (l *line) next(now time.Time) (piece, bool) {
	for l.out.len() == 0 {
		if !l.advance(now) {
			return piece{}, false
		}
	}
	return l.out.pop(), true
}

// advance moves on what is due and tells whether anything was.
func (l *line) advance(now time.Time) (moved bool) {
	for k, st := range slices.Backward(l.stations) {
		st.ring(now)
		for st.queue.len() > 0 && !st.queue.first().due.After(now) && l.roomAt(k+1) {
			p := st.pop()
			if len(p.data) > 0 && st.toxic.unit() == unitBytes {
				st.toxic.stage.delays.add(now.Sub(p.came))
			}
			l.enter(k+1, p, now)
			moved = true
		}
	}
	return moved
}

func (l *line) enter(k int, p piece, now time.Time) {
	if k == len(l.stations) {
		l.out.push(p)
		return
	}
	p.came = now
	l.stations[k].accept(p)
}

// roomAt tells whether station k takes another piece. What is through leaves
// one by one, so that its delay is that of the moment it leaves.
func (l *line) roomAt(k int) bool {
	if k == len(l.stations) {
		return l.out.len() == 0
	}
	st := l.stations[k]
	return st.held < st.toxic.room()
}

// room tells whether anything may be pushed in.
func (l *line) room() bool { return l.roomAt(0) }

// holds tells whether anything is on its way.
func (l *line) holds() bool {
	return l.out.len() > 0 || slices.ContainsFunc(l.stations, func(st *station) bool { return st.queue.len() > 0 })
}

// wake is when something is due next; zero: nothing will be by itself.
func (l *line) wake() (next time.Time) {
	for k, st := range l.stations {
		for _, t := range []time.Time{st.alarm(), st.due(l.roomAt(k + 1))} {
			if !t.IsZero() && (next.IsZero() || t.Before(next)) {
				next = t
			}
		}
	}
	return next
}

// adapt makes the line run these toxics from now on. A toxic that stays keeps
// what it holds; one that is replaced by another of its type gives that over,
// to be timed anew from when it came; what others hold goes on at once.
func (l *line) adapt(drawn []*toxic, conn uint64, now time.Time) {
	old := l.stations
	l.stations = make([]*station, len(drawn))
	from := 0 // a toxic that has changed its place starts anew: bytes must not
	for k, t := range drawn {
		i := slices.IndexFunc(old[from:], func(st *station) bool { return st.takes(t) })
		if i >= 0 {
			l.stations[k] = old[from+i]
			from += i + 1
		} else {
			l.stations[k] = &station{toxic: t, dice: newDice(t.stage.Seed, t.key, conn), since: now}
		}
	}
	next := len(l.stations) // where what leaves an old station goes
	for _, st := range slices.Backward(old) {
		if k := slices.Index(l.stations, st); k >= 0 {
			next = k
			continue
		}
		for st.queue.len() > 0 {
			l.enter(next, st.pop(), now)
		}
		if st.lost { // the stream has a hole: as with Toxiproxy, its connection ends
			l.enter(next, piece{end: errCut}, now)
		}
	}
	for k, t := range drawn {
		st := l.stations[k]
		st.counts = t.unit() == t.stage.unit() && (k == 0 || drawn[k-1].stage != t.stage)
		if st.toxic != t {
			st.become(t, now)
		}
	}
}

// station is one toxic at work on one direction of one connection.
type station struct {
	toxic  *toxic
	dice   dice
	since  time.Time // acts since
	queue  queue
	held   int       // weight of queue
	free   time.Time // nothing that comes is due before: order is kept
	rolls  uint64    // of the dice
	passed int64     // bytes that came
	over   bool      // the stream has ended here: what comes is dropped
	lost   bool      // bytes were dropped and nobody has been told
	counts bool      // for its stage's receipt
}

// takes tells whether the station can go on as t.
func (st *station) takes(t *toxic) bool {
	return st.toxic == t || st.toxic.key == t.key && st.toxic.Type == t.Type
}

// become goes on as another toxic of the same type.
func (st *station) become(t *toxic, now time.Time) {
	st.toxic = t
	if st.over {
		return
	}
	old := st.queue
	st.queue, st.held, st.free = queue{}, 0, now
	st.rolls -= min(st.rolls, uint64(old.len()))
	for old.len() > 0 {
		p := old.pop()
		st.passed -= int64(len(p.data))
		st.accept(p)
	}
}

func (st *station) accept(p piece) {
	if st.over {
		p.block.release()
		return
	}
	if st.counts && len(p.data) > 0 && st.toxic.unit() == unitBytes {
		st.toxic.stage.hit(uint64(len(p.data)))
	}
	st.passed += int64(len(p.data))
	st.toxic.shape(st, p)
}

// hold keeps p until due, and until what came before it is due.
func (st *station) hold(p piece, due time.Time) {
	p.due = later(due, st.free)
	st.free = p.due
	st.held += p.weight()
	st.queue.push(p)
}

// finish ends the stream after what is held.
func (st *station) finish(end error, now time.Time) {
	if st.over {
		return
	}
	st.over, st.lost = true, false
	st.hold(piece{end: end, came: now}, now)
	if st.counts && st.toxic.unit() == unitConnections {
		st.toxic.stage.hit(1)
	}
}

// drop swallows p.
func (st *station) drop(p piece) {
	st.lost = true
	p.block.release()
}

func (st *station) pop() piece {
	p := st.queue.pop()
	st.held -= p.weight()
	return p
}

// roll is the next number in [0, 1) of this connection's chance.
func (st *station) roll() float64 {
	st.rolls++
	return st.dice.at(st.rolls)
}

// due is when the first piece goes on, if the next station has room for it.
func (st *station) due(room bool) time.Time {
	if st.queue.len() == 0 || !room {
		return time.Time{}
	}
	return st.queue.first().due
}

// alarm is when the toxic acts by itself; zero: never.
func (st *station) alarm() time.Time {
	a, ok := st.toxic.shaper.(alarmed)
	if !ok || st.over || a.after() <= 0 {
		return time.Time{}
	}
	return st.since.Add(a.after())
}

func (st *station) ring(now time.Time) {
	if at := st.alarm(); !at.IsZero() && !now.Before(at) {
		st.finish(st.toxic.shaper.(alarmed).end(), now)
	}
}

// queue is a first-in, first-out queue of pieces.
type queue struct {
	items []piece
	head  int
}

func (q *queue) len() int      { return len(q.items) - q.head }
func (q *queue) first() *piece { return &q.items[q.head] }
func (q *queue) push(p piece)  { q.items = append(q.items, p) }

func (q *queue) pop() piece {
	p := q.items[q.head]
	q.items[q.head] = piece{}
	if q.head++; q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	} else if q.head > 1024 && 2*q.head > len(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	return p
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
