package users

import (
	"errors"
	"io"
	"net/http"
	"strings"

	"squall/sample-system/internal/service"
)

// maxAsked bounds how many profiles are asked for at once: at their largest, 50
// are under 40 KB.
const maxAsked = 50

// change is a state of a profile; with a version it is a copy of legacy's.
type change struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Version *int64 `json:"version"`
}

// decodeChange reads and checks a state; its errors are Problems or from the reader.
func decodeChange(r io.Reader) (change, error) {
	var c change
	if err := service.DecodeJSON(r, &c); err != nil {
		return change{}, err
	}
	if c.Name == "" || len(c.Name) > 100 || len(c.Address) > 300 || c.Version != nil && *c.Version < 0 {
		return change{}, service.Invalid("want a name of 1 to 100 bytes, an address of at most 300, and a version that is not negative, if any")
	}
	return c, nil
}

func (p *profiles) handleGet(w http.ResponseWriter, r *http.Request) error {
	got, err := p.get(r.Context(), r.PathValue("customer"))
	switch {
	case errors.Is(err, errNoProfile):
		return service.Problem{Status: http.StatusNotFound, Title: "no such profile"}
	case err != nil:
		return err
	}
	return service.WriteJSON(w, http.StatusOK, got)
}

func (p *profiles) handlePut(w http.ResponseWriter, r *http.Request) error {
	customer := r.PathValue("customer")
	if !service.ValidID(customer) {
		return service.Invalid("customer: want letters, digits and ._:-")
	}
	c, err := decodeChange(http.MaxBytesReader(w, r.Body, service.MaxBody))
	if err != nil {
		return service.InputProblem(err)
	}
	stored, err := p.put(r.Context(), Profile{Customer: customer, Name: c.Name, Address: c.Address}, c.Version)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, stored)
}

// handleList answers the profiles of ?customers=a,b,c, without those unknown.
func (p *profiles) handleList(w http.ResponseWriter, r *http.Request) error {
	customers := strings.Split(r.URL.Query().Get("customers"), ",")
	if len(customers) > maxAsked || customers[0] == "" {
		return service.BadRequest("customers: want 1 to 50 ids, separated by commas")
	}
	found, err := p.list(r.Context(), customers)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, map[string][]Profile{"profiles": found})
}
