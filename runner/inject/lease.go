package inject

import (
	"context"
	"time"

	"squall/faults"
)

// leasedLink signs every stage with the run's name and lease, so that it goes
// by itself when the runner dies; kinds need not know of it.
type leasedLink struct {
	faults.Link
	owner string
	lease time.Duration
}

// PutStage puts the stage, signed.
func (l leasedLink) PutStage(ctx context.Context, id string, s faults.Stage) error {
	s.Owner, s.Lease = l.owner, l.lease
	return l.Link.PutStage(ctx, id, s)
}

func (in *Injector) leased(k faults.Kind, t faults.Target) faults.Target {
	link, is := t.(faults.Link)
	if !is || k.Needs != faults.NeedsLink && k.Needs != faults.NeedsHTTPLink {
		return t
	}
	return leasedLink{Link: link, owner: in.Owner, lease: in.Lease}
}
