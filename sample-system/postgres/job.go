package postgres

import (
	"context"
	"time"
)

// job is something that takes longer than a lease, such as a copy of the
// database: the agent goes on renewing the lease meanwhile.
type job struct {
	name   string
	term   int64 // in which it makes sense
	cancel context.CancelFunc
	done   chan error
}

// begin starts a job.
func (a *agent) begin(ctx context.Context, name string, term int64, f func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, jobTime)
	j := &job{name: name, term: term, cancel: cancel, done: make(chan error, 1)}
	a.job = j
	go func() { j.done <- f(ctx) }() // run waits for it
}

// jobTime bounds a job; a copy of the shop's database takes a second or two.
const jobTime = 5 * time.Minute

// busy reports whether a job is under way; one of an earlier term is called off.
func (a *agent) busy(term int64) bool {
	if a.job == nil {
		return false
	}
	if a.job.term != term {
		a.job.cancel()
	}
	select {
	case err := <-a.job.done:
		a.job.cancel()
		if err != nil {
			a.log.Error("job failed", "job", a.job.name, "error", err)
		}
		a.job = nil
		return err != nil // the next look tries again
	default:
		return true
	}
}
