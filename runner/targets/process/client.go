package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"squall/faults"
	"squall/runner/targets"
)

// client speaks the control API of a supervisor.
type client struct {
	base, token string
	http        *http.Client
}

// newClient uses a transport of its own: proxy settings of the environment must
// not apply to loopback, and connections kept for later would hold up the end
// of the server.
func newClient(base, token string) *client {
	return &client{base: base, token: token, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

func (c *client) states(ctx context.Context) (map[string]processState, error) {
	var out map[string]processState
	return out, c.call(ctx, http.MethodGet, "/v1/services", nil, &out)
}

func (c *client) start(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodPost, "/v1/services/"+name+"/start", nil, nil)
}

func (c *client) signal(ctx context.Context, name string, id faults.ProcessID, sig string) error {
	return c.call(ctx, http.MethodPost, "/v1/services/"+name+"/signal", signalRequest{id, sig}, nil)
}

func (c *client) hold(ctx context.Context, name, id string, h faults.Hold) error {
	return c.call(ctx, http.MethodPut, holdPath(name, id), h, nil)
}

func (c *client) unhold(ctx context.Context, name, id string) error {
	return c.call(ctx, http.MethodDelete, holdPath(name, id), nil, nil)
}

func (c *client) holdStatus(ctx context.Context, name, id string) (e faults.Evidence, err error) {
	return e, c.call(ctx, http.MethodGet, holdPath(name, id), nil, &e)
}

func holdPath(name, id string) string {
	return "/v1/services/" + name + "/holds/" + url.PathEscape(id)
}

func (c *client) facts(ctx context.Context) (map[string]string, error) {
	var out map[string]string
	return out, c.call(ctx, http.MethodGet, "/v1/facts", nil, &out)
}

func (c *client) renew(ctx context.Context, owner string, lease time.Duration) error {
	return c.call(ctx, http.MethodPost, "/v1/renew", heartbeat{owner, lease}, nil)
}

func (c *client) down(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/down", nil, nil)
}

// events calls each for every event from now on, until the environment ends or
// ctx does. It returns after subscribing; the channel closes at the end.
func (c *client) events(ctx context.Context, each func(targets.Event)) (<-chan struct{}, error) {
	resp, err := c.do(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return nil, fmt.Errorf("follow events: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = resp.Body.Close() }()
		in := json.NewDecoder(resp.Body)
		for {
			var ev targets.Event
			if in.Decode(&ev) != nil {
				return
			}
			each(ev)
		}
	}()
	return done, nil
}

func (c *client) call(ctx context.Context, method, path string, body, into any) error {
	resp, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if into == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// do returns an answer of 2xx, or an error.
func (c *client) do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("ask supervisor: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("ask supervisor: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask supervisor: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusGone {
		return nil, faults.ErrNotRunning
	}
	var f failure
	if json.NewDecoder(resp.Body).Decode(&f) != nil {
		return nil, fmt.Errorf("supervisor answers %s", resp.Status)
	}
	if f.Error == faults.ErrNoHold.Error() {
		return nil, faults.ErrNoHold
	}
	return nil, errors.New(f.Error)
}
