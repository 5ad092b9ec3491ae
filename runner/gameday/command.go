package gameday

import (
	"errors"
	"fmt"
	"strings"

	"squall/runner/record"
	"squall/scenarios/spec"
)

// Command is something that a person says to a day that goes on: from a key, a
// terminal elsewhere, or the live page.
type Command struct {
	What   string `json:"what"`
	Author string `json:"author"`
	Text   string `json:"text,omitempty"`
	N      int    `json:"n,omitempty"` // of did: which step of the playbook, from 1
}

// What people can say.
const (
	Go           = "go"           // the day goes on from a wait
	Detected     = "detected"     // somebody has seen that something is wrong
	Acknowledged = "acknowledged" // somebody works on it
	Mitigated    = "mitigated"    // users do not suffer any more; ends the fault
	Did          = "did"          // a step of the playbook is done
	Note         = "note"
	Action       = "action" // something to do after the day
	Abort        = "abort"
)

// Bounds of what people say.
const (
	maxAuthor = 60
	maxText   = 2000
)

// Check refuses what makes no sense whatever goes on, and cuts off white space.
func (c *Command) Check() error {
	c.Author, c.Text = strings.TrimSpace(c.Author), strings.TrimSpace(c.Text)
	switch c.What {
	case Go, Detected, Acknowledged, Mitigated, Did, Abort:
	case Note, Action:
		if c.Text == "" {
			return fmt.Errorf("a %s needs a text", c.What)
		}
	default:
		return fmt.Errorf("unknown command %q: want go, detected, acknowledged, mitigated, did, note, action or abort", clipText(c.What))
	}
	switch {
	case c.Author == "":
		return errors.New("who says that? an author is missing")
	case len(c.Author) > maxAuthor || len(c.Text) > maxText:
		return fmt.Errorf("too long: an author has at most %d bytes, a text %d", maxAuthor, maxText)
	case strings.IndexFunc(c.Author, func(r rune) bool { return r < ' ' }) >= 0:
		return errors.New("an author is one line")
	}
	return nil
}

func clipText(s string) string {
	if r := []rune(s); len(r) > 30 {
		return string(r[:30]) + "…"
	}
	return s
}

// Say is a command on its way to the day, which answers once.
type Say struct {
	Command
	answer chan error
}

// Desk is where people's commands arrive. It is safe for concurrent use.
type Desk struct {
	in     chan Say
	closed chan struct{}
}

// NewDesk makes a desk.
func NewDesk() *Desk { return &Desk{in: make(chan Say), closed: make(chan struct{})} }

// Say hands a command over and returns what the day answers.
func (d *Desk) Say(c Command) error {
	if err := c.Check(); err != nil {
		return err
	}
	s := Say{c, make(chan error, 1)}
	select {
	case d.in <- s:
		return <-s.answer
	case <-d.closed:
		return ErrOver
	}
}

// ErrOver says that the day has ended.
var ErrOver = errors.New("the game day is over")

// close ends the desk: whoever comes now is told that it is over.
func (d *Desk) close() { close(d.closed) }

// hear records what was said, as far as it makes sense now. It tells whether the
// step goes on for it, and why the day must end.
func (d *day) hear(s Say) (moves bool, end error) {
	refuse := func(format string, args ...any) (bool, error) {
		s.answer <- fmt.Errorf(format, args...)
		return false, nil
	}
	m := record.Mark{What: s.What, Author: s.Author, Text: s.Text, Step: d.current.ID}
	fault := d.current.Does == spec.DoesFault || d.current.Does == spec.DoesRamp
	switch s.What {
	case Note:
		s.answer <- d.cfg.Record.Append(record.TypeNote, record.Note{Author: s.Author, Text: s.Text})
		return false, nil
	case Go:
		if d.current.Does != spec.DoesWait {
			return refuse("nothing waits for a go now")
		}
	case Detected, Acknowledged, Mitigated:
		if !fault {
			return refuse("no fault stands now")
		}
	case Did:
		p, ok := d.cfg.Compiled.Day.Playbook(d.current.Playbook)
		if !ok {
			return refuse("no playbook is followed now")
		}
		if s.N < 1 || s.N > len(p.Steps) {
			return refuse("playbook %s has steps 1 to %d", p.ID, len(p.Steps))
		}
		m.On, m.N, m.Text = p.ID, s.N, p.Steps[s.N-1]
	}
	if err := d.cfg.Record.Append(record.TypeMark, m); err != nil {
		s.answer <- err
		return false, err
	}
	s.answer <- nil
	if s.What == Abort {
		return false, aborted("by %s%s", s.Author, because(s.Text))
	}
	return s.What == Go || s.What == Mitigated, nil
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
