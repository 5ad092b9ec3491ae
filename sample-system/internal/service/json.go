package service

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// MaxBody bounds a request body; an order is about 150 bytes.
const MaxBody = 8 << 10

const problemType = "application/problem+json"

// Problem is an error answer as of RFC 9457, application/problem+json.
type Problem struct {
	Type     string   `json:"type,omitempty"` // a URI; absent: "about:blank", the status says it all
	Title    string   `json:"title"`
	Status   int      `json:"status"`
	Detail   string   `json:"detail,omitempty"`
	Instance string   `json:"instance,omitempty"` // operation id
	Errors   []string `json:"errors,omitempty"`   // one for each thing that is wrong with the input
	// Executed false says for certain that nothing was done; absent, that this
	// is not known or does not apply.
	Executed *bool `json:"executed,omitempty"`
}

// NotExecuted adds to a Problem that nothing was done.
func (p Problem) NotExecuted() Problem {
	p.Executed = new(bool)
	return p
}

// Error makes a Problem an error that a Handler may return.
func (p Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// BadRequest is the answer to input that cannot be read.
func BadRequest(detail string) Problem {
	return Problem{Status: http.StatusBadRequest, Title: "bad request", Detail: detail}
}

// Invalid is the answer to input that can be read but makes no sense; errors,
// if any, say more.
func Invalid(detail string, errors ...string) Problem {
	return Problem{Status: http.StatusUnprocessableEntity, Title: "invalid", Detail: detail, Errors: errors}
}

// WriteProblem sends an error answer.
func WriteProblem(w http.ResponseWriter, p Problem) {
	_ = write(w, p.Status, problemType, p) // it can be encoded
}

// WriteJSON sends v. If v cannot be encoded, that is the error, and nothing has
// been sent.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	return write(w, status, "application/json", v)
}

func write(w http.ResponseWriter, status int, contentType string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // the status is out; a reader that is gone needs no answer
	return nil
}

// ReadJSON decodes a request body strictly: at most MaxBody bytes, one value,
// no unknown fields. Its errors are Problems.
func ReadJSON(w http.ResponseWriter, r *http.Request, v any) error {
	return InputProblem(DecodeJSON(http.MaxBytesReader(w, r.Body, MaxBody), v))
}

// InputProblem is the answer to a body that could not be read.
func InputProblem(err error) error {
	var p Problem
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooLarge):
		return Problem{Status: http.StatusRequestEntityTooLarge, Title: "body too large", Detail: err.Error()}
	default:
		return BadRequest(err.Error())
	}
}

// DecodeJSON reads exactly one JSON value without unknown fields.
func DecodeJSON(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("decode body: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode body: more than one JSON value")
	}
	return nil
}
