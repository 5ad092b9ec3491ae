package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"squall/sample-system/internal/service"
)

// Profile is what the shop knows of a customer. Version counts its writes; of
// two states the one with the higher version is the newer.
type Profile struct {
	Customer string `json:"customer"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	Version  int64  `json:"version"`
}

func (p Profile) check() error {
	if p.Customer == "" || p.Name == "" || p.Version < 0 {
		return errors.New("profile is incomplete")
	}
	return nil
}

// change is a new state of a profile; with a version it is a copy.
type change struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Version *int64 `json:"version,omitempty"`
}

// decodeChange reads and checks a state; its errors are Problems or from the reader.
func decodeChange(r io.Reader) (change, error) {
	var c change
	if err := service.DecodeJSON(r, &c); err != nil {
		return change{}, err
	}
	if c.Name == "" || len(c.Name) > 100 || len(c.Address) > 300 || c.Version != nil {
		return change{}, service.Invalid("want a name of 1 to 100 bytes and an address of at most 300")
	}
	return c, nil
}

// book is one of the two stores of profiles.
type book struct {
	*upstream
	integrity integrity
}

// refusal is an answer that is final: no such profile, or invalid.
type refusal struct{ status int }

func (r refusal) Error() string { return fmt.Sprintf("refused with status %d", r.status) }

func (b book) find(ctx context.Context, customer string) (Profile, error) {
	return b.exchange(ctx, http.MethodGet, customer, nil)
}

func (b book) put(ctx context.Context, customer string, c change) (Profile, error) {
	return b.exchange(ctx, http.MethodPut, customer, c)
}

func (b book) exchange(ctx context.Context, method, customer string, body any) (Profile, error) {
	reply, err := b.do(ctx, method, "/profiles/"+customer, "", body)
	if err != nil {
		return Profile{}, err
	}
	if reply.Status/100 == 4 {
		return Profile{}, refusal{reply.Status}
	}
	var p Profile
	err = b.integrity.decode(reply, &p, func() error { return p.check() })
	return p, err
}

func (s *strangler) handleGet(w http.ResponseWriter, r *http.Request) error {
	customer, err := act(r, r.URL.Query().Get("customer"))
	if err != nil {
		return err
	}
	p, err := s.get(r.Context(), customer)
	return answer(w, p, err)
}

func (s *strangler) handlePut(w http.ResponseWriter, r *http.Request) error {
	customer, err := act(r, r.URL.Query().Get("customer"))
	if err != nil {
		return err
	}
	c, err := decodeChange(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	p, err := s.put(r.Context(), customer, c)
	return answer(w, p, err)
}

func answer(w http.ResponseWriter, p Profile, err error) error {
	var refused refusal
	switch {
	case errors.As(err, &refused) && refused.status == http.StatusNotFound:
		return service.Problem{Status: http.StatusNotFound, Title: "no such profile"}
	case errors.As(err, &refused):
		return service.Problem{Status: refused.status, Title: "the profile was refused"}
	case err != nil:
		return failure(w, "profiles", err)
	}
	return service.WriteJSON(w, http.StatusOK, p)
}
