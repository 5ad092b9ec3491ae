package service

import "net/http"

// maxInFlight is the bulkhead of a process: requests it works on at once. It
// answers a dependency that hangs: without a bound every arriving request adds
// a goroutine until memory is gone. At 60 requests/s and an answer within 3 s
// at the worst, 180 are in flight; 512 leaves room for a burst. It costs the
// requests beyond that a 503 at once, which the caller may retry.
const maxInFlight = 512

// admit takes a place in the bulkhead; false when it is full.
func (h *Host) admit() bool {
	select {
	case h.inFlight <- struct{}{}:
		return true
	default:
		return false
	}
}

func (h *Host) leave() { <-h.inFlight }

func shed(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	WriteProblem(w, Problem{Status: http.StatusServiceUnavailable, Title: "too many requests in flight"}.NotExecuted())
}
