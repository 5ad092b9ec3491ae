package disk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"squall/faults"
)

// The API of a disk process, on loopback:
//
//	GET    /version                    answers once all volumes are mounted
//	PUT    /volumes/{volume}/rules/{id} body putRule; 422: taken, or no such volume
//	GET    same path                   faults.Evidence, or 404
//	DELETE same path                   idempotent
//	GET    /volumes/{volume}/rules      their ids, sorted
type server struct {
	rules map[string]*rules // by volume; fixed
}

type putRule struct {
	Rule faults.DiskRule `json:"rule"`
	Seed uint64          `json:"seed"`
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("PUT /volumes/{volume}/rules/{id}", s.put)
	mux.HandleFunc("GET /volumes/{volume}/rules/{id}", s.get)
	mux.HandleFunc("GET /volumes/{volume}/rules", s.list)
	mux.HandleFunc("DELETE /volumes/{volume}/rules/{id}", s.remove)
	return mux
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	var body putRule
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&body)
	volume := s.rules[r.PathValue("volume")]
	if err == nil && volume == nil {
		err = fmt.Errorf("no volume %q", r.PathValue("volume"))
	}
	if err == nil {
		err = volume.put(r.PathValue("id"), body.Rule, body.Seed)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	}
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	if volume := s.rules[r.PathValue("volume")]; volume != nil {
		if x := volume.find(r.PathValue("id")); x != nil {
			_ = json.NewEncoder(w).Encode(x.status()) // a caller that left needs no answer
			return
		}
	}
	http.Error(w, faults.ErrNoHold.Error(), http.StatusNotFound)
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	var ids []string
	if volume := s.rules[r.PathValue("volume")]; volume != nil {
		ids = volume.ids()
	}
	_ = json.NewEncoder(w).Encode(ids)
}

func (s *server) remove(_ http.ResponseWriter, r *http.Request) {
	if volume := s.rules[r.PathValue("volume")]; volume != nil {
		volume.remove(r.PathValue("id"))
	}
}

// Client speaks the API of a disk process.
type Client struct {
	base string
	http *http.Client
}

// NewClient takes the base URL.
func NewClient(base string) *Client {
	return &Client{base: base, http: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
}

// Put returns when the rule is in force; an id stands once.
func (c *Client) Put(ctx context.Context, volume, id string, rule faults.DiskRule, seed uint64) error {
	return c.call(ctx, http.MethodPut, volume, id, putRule{rule, seed}, nil)
}

// Delete is idempotent.
func (c *Client) Delete(ctx context.Context, volume, id string) error {
	return c.call(ctx, http.MethodDelete, volume, id, nil, nil)
}

// Status returns faults.ErrNoHold when there is no such rule.
func (c *Client) Status(ctx context.Context, volume, id string) (e faults.Evidence, err error) {
	return e, c.call(ctx, http.MethodGet, volume, id, nil, &e)
}

// Rules are the ids of those that stand, sorted.
func (c *Client) Rules(ctx context.Context, volume string) (ids []string, err error) {
	return ids, c.call(ctx, http.MethodGet, volume, "", nil, &ids)
}

// call is about one rule; without an id, about all.
func (c *Client) call(ctx context.Context, method, volume, id string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask disk: %w", err)
	}
	path := fmt.Sprintf("%s/volumes/%s/rules", c.base, url.PathEscape(volume))
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	req, err := http.NewRequestWithContext(ctx, method, path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("ask disk: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask disk: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return faults.ErrNoHold
	case resp.StatusCode/100 != 2:
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return errors.New(string(bytes.TrimSpace(text)))
	case into == nil:
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}
