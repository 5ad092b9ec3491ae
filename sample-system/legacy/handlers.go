package legacy

import (
	"errors"
	"io"
	"net/http"

	"squall/sample-system/internal/service"
)

// pageSize bounds an answer with profiles: at their largest, 50 are under 40 KB.
const pageSize = 50

// change is a new state of a profile.
type change struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// decodeChange reads and checks a state; its errors are Problems or from the reader.
func decodeChange(r io.Reader) (change, error) {
	var c change
	if err := service.DecodeJSON(r, &c); err != nil {
		return change{}, err
	}
	if c.Name == "" || len(c.Name) > 100 || len(c.Address) > 300 {
		return change{}, service.Invalid("want a name of 1 to 100 bytes and an address of at most 300")
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
	stored, err := p.put(r.Context(), customer, c.Name, c.Address)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, stored)
}

// handleList answers a page of profiles: ?after= is the last one of the page before.
func (p *profiles) handleList(w http.ResponseWriter, r *http.Request) error {
	page, err := p.list(r.Context(), r.URL.Query().Get("after"), pageSize)
	if err != nil {
		return err
	}
	return service.WriteJSON(w, http.StatusOK, map[string][]Profile{"profiles": page})
}
