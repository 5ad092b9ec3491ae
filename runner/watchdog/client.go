package watchdog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Client speaks to a watchdog. It is safe for concurrent use.
type Client struct {
	base, token string
	http        *http.Client
	ended       func() // waits for a watchdog of our own; nil: it is somebody else's
}

// callWithin bounds one call.
const callWithin = 5 * time.Second

// NewClient returns a client of the watchdog at base.
func NewClient(base, token string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// Renew takes an owner in, or extends its lease.
func (c *Client) Renew(ctx context.Context, owner string, lease time.Duration) error {
	return c.call(ctx, "POST", "/v1/owners/"+url.PathEscape(owner)+"/lease", renewal{lease})
}

// Note gives the watchdog a line of the undo journal, and returns when it is on disk there.
func (c *Client) Note(ctx context.Context, owner string, line json.RawMessage) error {
	return c.call(ctx, "POST", "/v1/owners/"+url.PathEscape(owner)+"/lines", line)
}

// Done forgets an owner; it is an error while something is not undone. A
// watchdog of our own ends then.
func (c *Client) Done(ctx context.Context, owner string) error {
	err := c.call(ctx, "DELETE", "/v1/owners/"+url.PathEscape(owner), nil)
	if err == nil && c.ended != nil {
		c.ended()
	}
	return err
}

// Look asks for nothing but whether the watchdog is there and takes our token.
func (c *Client) Look(ctx context.Context) error { return c.call(ctx, "GET", "/v1/owners", nil) }

func (c *Client) call(ctx context.Context, method, path string, body any) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	var said struct {
		Error string `json:"error"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&said) // what is no JSON leaves the status line
	if said.Error == "" {
		said.Error = resp.Status
	}
	return errors.New("watchdog: " + said.Error)
}

// Greeting is what a watchdog that was started by a runner prints first.
type Greeting struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

// Start starts a watchdog beside the runner, in a session of its own: it
// outlives whatever ends the runner, and ends once it has nobody to guard.
func Start(ctx context.Context, self []string, environ []string, logPath string) (*Client, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	said, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = said.Close() }()
	cmd := exec.Command(self[0], append(self[1:len(self):len(self)], "watchdog", "--beside")...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, out, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = out.Close()
	if err != nil {
		return nil, fmt.Errorf("start watchdog: %w", err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	stop := context.AfterFunc(ctx, func() { _ = said.Close() })
	defer stop()
	line, err := bufio.NewReader(said).ReadBytes('\n')
	var hello Greeting
	if err == nil {
		err = json.Unmarshal(line, &hello)
	}
	if err != nil {
		_ = cmd.Process.Kill()
		<-exited
		return nil, fmt.Errorf("start watchdog: it said nothing (see %s): %w", logPath, err)
	}
	c := NewClient(hello.URL, hello.Token)
	c.ended = func() {
		select {
		case <-exited:
		case <-time.After(callWithin):
			_ = cmd.Process.Kill()
			<-exited
		}
	}
	return c, nil
}
