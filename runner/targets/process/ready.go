package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	readyEvery = 50 * time.Millisecond // between two looks
	readyLook  = time.Second           // longest single look
	logLines   = 15                    // of a service that did not come up, in the error
)

// readiness asks services whether they are ready, each time over a new
// connection: one that the service forgot would not do.
type readiness struct{ http *http.Client }

func newReadiness() readiness {
	return readiness{http: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// wait returns when the service is ready; it fails when the process ends
// first, or is not ready within its time.
func (r readiness) wait(ctx context.Context, l launch, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, l.Within)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	var last error // what the service said, not that we ran out of time asking
	for {
		why := r.look(ctx, l)
		if why != nil && (last == nil || ctx.Err() == nil) {
			last = why
		}
		select {
		case <-ended: // also after a good look: another process may have answered
			return errors.New("ended before it was ready")
		default:
		}
		if why == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not ready within %s: %w", l.Within, last)
			}
			return fmt.Errorf("wait for readiness: %w", ctx.Err())
		}
	}
}

func (r readiness) look(ctx context.Context, l launch) error {
	ctx, cancel := context.WithTimeout(ctx, readyLook)
	defer cancel()
	switch {
	case l.ReadyHTTP != "":
		return r.lookHTTP(ctx, l.ReadyHTTP)
	case l.ReadyTCP != "":
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", l.ReadyTCP)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	return nil // no port to ask: started is ready
}

func (r readiness) lookHTTP(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := r.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("%s answers %s %s", url, resp.Status, text)
	}
	return nil
}
