// Error mapping.
//
// Answers: a client that must know what became of its request. Without an answer
// from behind, the status says what is known: 503 with "executed":false if the
// service cannot have seen it, 504 or 502 if it may have. A refusal is passed on
// as it is.
// Numbers: each edge's timeouts, see upstream.go: never a hang.
// Costs: nothing.
// Breaks without it: TestLostAnswers; every checkout scenario tells a lost answer from a
// refused one by it. No off switch.

package gateway

import (
	"errors"
	"net/http"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

// notSent reports whether a call cannot have reached the service.
func notSent(err error) bool {
	return policy.IsOpen(err) || call.NotSent(err)
}

// failure is what the client is told when a service gave no answer, or none
// that can be used.
func failure(w http.ResponseWriter, name string, err error) error {
	var status *call.StatusError
	switch {
	case errors.As(err, &status):
		return service.Problem{Status: status.Status, Title: name + " failed"}
	case notSent(err):
		w.Header().Set("Retry-After", "1")
		return service.Problem{Status: http.StatusServiceUnavailable, Title: name + " is not available", Detail: "the request was not sent"}.NotExecuted()
	case call.IsTimeout(err):
		return service.Problem{Status: http.StatusGatewayTimeout, Title: name + " did not answer in time", Detail: "the outcome is unknown"}
	default:
		return service.Problem{Status: http.StatusBadGateway, Title: "the answer of " + name + " was lost", Detail: "the outcome is unknown"}
	}
}
