package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"squall/faults"
)

// Client speaks to a link proxy's API. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// WithToken returns a client that shows the server a token.
func (c *Client) WithToken(token string) *Client {
	return &Client{base: c.base, token: token, http: c.http}
}

// NewClient returns a client of the server at base, "http://127.0.0.1:8474".
func NewClient(base string) *Client {
	return &Client{base: strings.TrimRight(base, "/"), http: &http.Client{Transport: &http.Transport{}}}
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Version asks which version of Toxiproxy's API the server speaks: a liveness check.
func (c *Client) Version(ctx context.Context) (string, error) {
	var out struct {
		Version string `json:"version"`
	}
	err := c.call(ctx, "GET", "/version", nil, &out)
	return out.Version, err
}

// CreateProxy creates an edge; the answer has the real listen address. A
// server takes p.Enabled as it is: set it.
func (c *Client) CreateProxy(ctx context.Context, p Proxy) (Proxy, error) {
	var out Proxy
	err := c.call(ctx, "POST", "/proxies", p, &out)
	return out, err
}

// DeleteProxy removes an edge with all its stages and connections.
func (c *Client) DeleteProxy(ctx context.Context, name string) error {
	return c.call(ctx, "DELETE", "/proxies/"+url.PathEscape(name), nil, nil)
}

// Proxies returns all edges by name.
func (c *Client) Proxies(ctx context.Context) (map[string]Proxy, error) {
	var out map[string]Proxy
	err := c.call(ctx, "GET", "/proxies", nil, &out)
	return out, err
}

// Stages returns the stages of all edges.
func (c *Client) Stages(ctx context.Context) ([]faults.StageStatus, error) {
	var out []faults.StageStatus
	err := c.call(ctx, "GET", "/squall/v1/stages", nil, &out)
	return out, err
}

// PutStage adds or replaces a stage. It returns when live connections have
// switched to it, or with an error that says how many have not.
func (c *Client) PutStage(ctx context.Context, proxy, id string, s faults.Stage) (faults.StageStatus, error) {
	var out faults.StageStatus
	if err := c.call(ctx, "PUT", stagePath(proxy, id), s, &out); err != nil {
		return out, err
	}
	if out.Pending > 0 {
		return out, fmt.Errorf("put stage %s on %s: %d of %d live connections have not switched",
			id, proxy, out.Pending, out.Pending+out.Applied)
	}
	return out, nil
}

// StageStatus returns an error that is faults.ErrNoStage when there is none.
func (c *Client) StageStatus(ctx context.Context, proxy, id string) (faults.StageStatus, error) {
	var out faults.StageStatus
	err := c.call(ctx, "GET", stagePath(proxy, id), nil, &out)
	return out, err
}

// DeleteStage removes a stage; one that is not there is no error.
func (c *Client) DeleteStage(ctx context.Context, proxy, id string) error {
	return c.call(ctx, "DELETE", stagePath(proxy, id), nil, nil)
}

// RenewOwner extends the leases of all stages of owner and says how many.
func (c *Client) RenewOwner(ctx context.Context, owner string, ttl time.Duration) (int, error) {
	var out count
	err := c.call(ctx, "POST", "/squall/v1/owners/"+url.PathEscape(owner)+"/lease", renewal{ttl}, &out)
	return out.Stages, err
}

// DeleteOwner removes all stages of owner and says how many.
func (c *Client) DeleteOwner(ctx context.Context, owner string) (int, error) {
	var out count
	err := c.call(ctx, "DELETE", "/squall/v1/owners/"+url.PathEscape(owner), nil, &out)
	return out.Stages, err
}

// Wire streams the wire log, one Exchange as JSON a line, from now until ctx
// ends. A line {"dropped":n} says that n were given up. The caller closes it.
func (c *Client) Wire(ctx context.Context) (io.ReadCloser, error) {
	resp, err := c.send(ctx, "GET", "/squall/v1/wire", nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Link returns one edge as a target of faults; edge is its name in reports.
func (c *Client) Link(proxy, edge string) faults.Link { return remoteLink{c, proxy, edge} }

type remoteLink struct {
	client      *Client
	proxy, edge string
}

func (l remoteLink) Name() string { return l.edge }

func (l remoteLink) PutStage(ctx context.Context, id string, s faults.Stage) error {
	_, err := l.client.PutStage(ctx, l.proxy, id, s)
	return err
}

func (l remoteLink) DeleteStage(ctx context.Context, id string) error {
	return l.client.DeleteStage(ctx, l.proxy, id)
}

func (l remoteLink) StageStatus(ctx context.Context, id string) (faults.StageStatus, error) {
	return l.client.StageStatus(ctx, l.proxy, id)
}

func stagePath(proxy, id string) string {
	return "/squall/v1/proxies/" + url.PathEscape(proxy) + "/stages/" + url.PathEscape(id)
}

// call sends in as JSON, if any, and decodes the answer into out, if any.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode body of %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("decode answer to %s %s: %w", method, path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("link proxy: %w", err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	e := apiError{Message: resp.Status, Status: resp.StatusCode}
	json.NewDecoder(resp.Body).Decode(&e) // what is no JSON leaves the status line
	err = errors.New(e.Message)
	if resp.StatusCode == http.StatusNotFound && method == "GET" && strings.Contains(path, "/stages/") {
		err = faults.ErrNoStage // also when the proxy is gone: so are its stages
	}
	return nil, fmt.Errorf("link proxy: %s %s: %w", method, path, err)
}
