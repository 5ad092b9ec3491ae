package faults

import (
	"fmt"
	"time"
)

// HTTPRule says what becomes of requests.
type HTTPRule struct {
	Action HTTPAction        `json:"action"`
	Status int               `json:"status,omitempty"` // for HTTPStatus and HTTPRateLimit
	Header map[string]string `json:"header,omitempty"` // of the answer, likewise
	Body   string            `json:"body,omitempty"`
	Delay  time.Duration     `json:"delay,omitempty"`  // nanoseconds, for HTTPDelay
	Jitter time.Duration     `json:"jitter,omitempty"` // nanoseconds: delay ± jitter, uniform
	Bytes  int64             `json:"bytes,omitempty"`  // of the body: let pass by HTTPTruncate, changed by HTTPCorrupt, copied at most by HTTPDuplicate
	Share  float64           `json:"share,omitempty"`  // of the body that HTTPTruncate lets pass, in place of Bytes
	Close  bool              `json:"close,omitempty"`  // HTTPAbort and HTTPTruncate end with a close, not a reset
	Up     bool              `json:"up,omitempty"`     // HTTPCorrupt changes the request, not the reply
	Rate   float64           `json:"rate,omitempty"`   // requests a second that HTTPRateLimit lets pass, over all links
	Burst  int               `json:"burst,omitempty"`  // of them at once
	GRPC   *GRPCStatus       `json:"grpc,omitempty"`   // for HTTPStatus on a gRPC edge
}

// GRPCStatus is how a gRPC call ends.
type GRPCStatus struct {
	Code    uint32 `json:"code"`
	Message string `json:"message,omitempty"`
}

// HTTPAction is what becomes of a chosen request.
type HTTPAction string

// The HTTP actions.
const (
	HTTPStatus    HTTPAction = "status"     // answered by the proxy, never forwarded
	HTTPRateLimit HTTPAction = "rate-limit" // likewise, if it is above the rate
	HTTPDelay     HTTPAction = "delay"      // forwarded after Delay
	HTTPAbort     HTTPAction = "abort"      // the caller's connection is reset, nothing forwarded
	HTTPLoseReply HTTPAction = "lose-reply" // forwarded and executed; the reply is dropped and the caller reset
	HTTPTruncate  HTTPAction = "truncate"   // the reply ends in the middle of its body
	HTTPCorrupt   HTTPAction = "corrupt"    // bytes of the body are changed, its length is not
	HTTPDuplicate HTTPAction = "duplicate"  // forwarded twice; the second reply is dropped
)

// String says in a word or two what becomes of a request.
func (r HTTPRule) String() string {
	if r.Action != HTTPStatus && r.Action != HTTPRateLimit {
		return string(r.Action)
	}
	if r.GRPC != nil {
		return "grpc " + GRPCCode(r.GRPC.Code).String()
	}
	return fmt.Sprintf("status %d", r.Status)
}
