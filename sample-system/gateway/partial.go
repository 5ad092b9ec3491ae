// No part passes for the whole.
//
// Answers: an answer that is cut short, damaged or lacks a part, and arrives as a
// good one: the worst kind of failure, since nobody repeats or reports it. What
// comes from behind is checked before its status is passed on; a page without an
// optional part names it under "partial"; a damaged answer is a 502.
// Numbers: none.
// Costs: each answer is parsed once.
// Breaks without it: scenario reviews-down, TestPageWithoutOptionalParts. Off switch: D31, takes what there is
// for the whole.

package gateway

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/defect"
	"squall/sample-system/internal/service"
)

// integrity says whether answers are whole.
type integrity struct{ off bool }

func newIntegrity(h *service.Host) integrity { return integrity{h.Defects.Has(defect.PartialAsWhole)} }

// decode reads the body of a good answer; check says what it lacks.
func (c integrity) decode(reply call.Reply, v any, check func() error) error {
	if c.off {
		_ = json.Unmarshal(reply.Body, v) // D31: as much of it as there is
		return nil
	}
	if reply.Status != http.StatusOK {
		return &call.StatusError{Status: reply.Status}
	}
	if err := json.Unmarshal(reply.Body, v); err != nil {
		return fmt.Errorf("answer is damaged: %w", err)
	}
	return check()
}

// missing adds a part to those that a page has to do without.
func (c integrity) missing(parts []string, name string) []string {
	if c.off {
		return parts
	}
	return append(parts, name)
}

// pass hands an answer to the client as it is.
func (c integrity) pass(w http.ResponseWriter, name string, reply call.Reply) error {
	kind, _, _ := mime.ParseMediaType(reply.Header.Get("Content-Type"))
	isJSON := (kind == "application/json" || kind == "application/problem+json") && json.Valid(reply.Body)
	switch {
	case isJSON || c.off:
	case reply.Status/100 == 2:
		return service.Problem{Status: http.StatusBadGateway, Title: "the answer of " + name + " is damaged", Detail: "the outcome is unknown"}
	default: // an error of something in between
		return service.Problem{Status: reply.Status, Title: name + " failed"}
	}
	for _, header := range []string{"Content-Type", "Retry-After", "Age", "Warning", "WWW-Authenticate", "Cache-Control"} {
		if v := reply.Header.Get(header); v != "" {
			w.Header().Set(header, v)
		}
	}
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body) // the status is out; a client that is gone needs no answer
	return nil
}
