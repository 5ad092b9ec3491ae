package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"squall/runner/targets/docker"
)

const (
	readyEvery    = 50 * time.Millisecond // between two looks
	readyLook     = time.Second           // longest single look
	publishedLook = 50 * time.Millisecond // for a connection to be dropped
	logLines      = 15                    // of a service that did not come up, in the error
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
func (r readiness) wait(ctx context.Context, l launch, c *child) error {
	ctx, cancel := context.WithTimeout(ctx, l.Within)
	defer cancel()
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	var last error // what the service said, not that we ran out of time asking
	for {
		why := r.look(ctx, l, c.said)
		if why != nil && (last == nil || ctx.Err() == nil) {
			last = why
		}
		select {
		case <-c.ended: // also after a good look: another process may have answered
			if l.Completes && c.cmd.ProcessState.Success() {
				return nil
			}
			return errors.New("ended before it was ready")
		default:
		}
		if why == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-c.ended:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("not ready within %s: %w", l.Within, last)
			}
			return fmt.Errorf("wait for readiness: %w", ctx.Err())
		}
	}
}

// readySigns show that a service is ready: all that are given must. Without
// any, started is ready.
type readySigns struct {
	HTTP    string   `json:"http,omitempty"` // URL
	TCP     string   `json:"tcp,omitempty"`  // host:port
	Log     string   `json:"log,omitempty"`  // regular expression
	Command []string `json:"command,omitempty"`
	Healthy bool     `json:"healthy,omitempty"` // by its container's own health check
}

func (s readySigns) any() bool {
	return s.HTTP != "" || s.TCP != "" || s.Log != "" || len(s.Command) > 0 || s.Healthy
}

func (r readiness) look(ctx context.Context, l launch, said <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, readyLook)
	defer cancel()
	if l.Ready.Log != "" {
		select {
		case <-said:
		default:
			return fmt.Errorf("no line of its output matches %s", l.Ready.Log)
		}
	}
	if l.Container != "" {
		if err := lookContainer(ctx, l); err != nil {
			return err
		}
	}
	if l.Ready.TCP != "" {
		if err := lookTCP(ctx, l.Ready.TCP, l.Container != ""); err != nil {
			return err
		}
	}
	if l.Ready.HTTP != "" {
		if err := r.lookHTTP(ctx, l.Ready.HTTP); err != nil {
			return err
		}
	}
	if len(l.Ready.Command) > 0 {
		return lookCommand(ctx, l)
	}
	return nil
}

// lookTCP connects. Docker takes connections to a published port in any case,
// and drops them where nobody listens inside.
func lookTCP(ctx context.Context, address string, published bool) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if published {
		_ = conn.SetReadDeadline(time.Now().Add(publishedLook))
		if _, err = conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			err = nil
		}
	}
	return errors.Join(err, conn.Close())
}

func lookContainer(ctx context.Context, l launch) error {
	st, err := docker.Inspect(ctx, l.Container)
	switch {
	case err != nil:
		return err
	case st.State == stateDead:
		return errors.New("its container does not run")
	case l.Ready.Healthy && st.Health != "healthy":
		return fmt.Errorf("its health check says %s", st.Health)
	}
	return nil
}

// lookCommand runs the program in the environment and folder of the service.
func lookCommand(ctx context.Context, l launch) error {
	cmd := exec.CommandContext(ctx, l.Ready.Command[0], l.Ready.Command[1:]...)
	cmd.Dir, cmd.Env, cmd.WaitDelay = l.Dir, l.Env, outputGrace
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %.200s", strings.Join(l.Ready.Command, " "), err, bytes.TrimSpace(out))
	}
	return nil
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
