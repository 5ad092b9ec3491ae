// Package probe does what a scenario wants done to a system, or known of it,
// from outside the load: requests, programs, statements. An act is done once;
// who wants it again and again does it again. What came of it is a
// record.Probe, which judges nothing: a 503 and an exit code of 1 are answers.
package probe

import (
	"context"
	"time"
	"unicode/utf8"

	"squall/runner/record"
)

// maxText bounds what is kept of a body or an output, in bytes.
const maxText = 16 << 10

// Act is one thing to do.
type Act interface {
	// Do does it once and says what came of it. It returns by the end of its
	// timeout, and leaves nothing running.
	Do(ctx context.Context) record.Probe
}

// timed bounds an act and measures it. An act fills the answer, or returns why
// there is none.
func timed(ctx context.Context, timeout time.Duration, do func(context.Context, *record.Probe) error) record.Probe {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var p record.Probe
	begun := time.Now()
	err := do(ctx, &p)
	p.Took = int64(time.Since(begun))
	p.OK = err == nil
	if err != nil {
		p.Note = err.Error()
	}
	return p
}

// kept is the beginning of a text, cut between characters.
func kept(text []byte) string {
	if len(text) <= maxText {
		return string(text)
	}
	text = text[:maxText]
	for i := 0; i < utf8.UTFMax && !utf8.Valid(text); i++ {
		text = text[:len(text)-1]
	}
	return string(text) + "…"
}
