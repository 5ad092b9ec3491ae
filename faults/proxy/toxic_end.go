package proxy

import (
	"errors"
	"time"
)

// How toxics end a stream.
var (
	errCut   = errors.New("stream cut by a toxic")
	errReset = errors.New("connection reset by a toxic")
)

// limitToxic closes the connection after so many bytes.
type limitToxic struct {
	Bytes int64 `json:"bytes"`
}

func (l *limitToxic) check() error { return notNegative("bytes", l.Bytes) }
func (*limitToxic) unit() string   { return unitConnections }
func (*limitToxic) room() int      { return roomRate }

func (l *limitToxic) shape(st *station, p piece) {
	over := st.passed - l.Bytes
	if p.end != nil || over < 0 {
		st.hold(p, p.came)
		return
	}
	if left := len(p.data) - int(min(over, int64(len(p.data)))); left > 0 {
		st.hold(p.part(0, left), p.came)
	}
	p.block.release()
	st.finish(errCut, p.came)
}

// slowCloseToxic delays the end of the stream.
type slowCloseToxic struct {
	Delay millis `json:"delay"`
}

func (s *slowCloseToxic) check() error { return notNegative("delay", s.Delay) }
func (*slowCloseToxic) unit() string   { return unitConnections }
func (*slowCloseToxic) room() int      { return roomRate }

func (s *slowCloseToxic) shape(st *station, p piece) {
	if p.end == nil {
		st.hold(p, p.came)
		return
	}
	if st.counts {
		st.toxic.stage.hit(1)
	}
	st.hold(p, p.came.Add(s.Delay.duration()))
}

// timeoutToxic lets nothing pass and closes the connection after a while, whether
// bytes come or not. A connection that lost bytes is closed when it goes.
type timeoutToxic struct {
	Timeout millis `json:"timeout"` // 0: never closes
}

func (t *timeoutToxic) check() error { return notNegative("timeout", t.Timeout) }
func (*timeoutToxic) unit() string   { return unitBytes }
func (*timeoutToxic) room() int      { return roomRate }

func (t *timeoutToxic) after() time.Duration { return t.Timeout.duration() }
func (*timeoutToxic) end() error             { return errCut }

func (*timeoutToxic) shape(st *station, p piece) {
	if p.end != nil {
		st.hold(p, p.came)
		return
	}
	st.drop(p)
}

// resetToxic resets the connection after a while, idle or not; nothing passes
// until then.
type resetToxic struct {
	Timeout millis `json:"timeout"` // 0: at once
}

func (r *resetToxic) check() error { return notNegative("timeout", r.Timeout) }
func (*resetToxic) unit() string   { return unitConnections }
func (*resetToxic) room() int      { return roomRate }

func (r *resetToxic) after() time.Duration { return max(r.Timeout.duration(), 1) }
func (*resetToxic) end() error             { return errReset }

func (*resetToxic) shape(st *station, p piece) {
	if p.end != nil {
		st.hold(p, p.came)
		return
	}
	st.drop(p)
}
