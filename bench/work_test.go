package bench

import (
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

// serveAddress is set for the process that is the service of the A/A runs.
const serveAddress = "SQUALL_BENCH_SERVE"

// workTail is the 95th percentile of the time an answer takes: log-normal with a
// median of 100 ms, which is long beside what a busy machine adds by itself.
var workTail = 100 * math.Exp(1.645*workSpread) // milliseconds

const workSpread = 0.3

// serveWork answers after a time with a tail.
func serveWork(addr string) error {
	return http.ListenAndServe(addr, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/work" {
			time.Sleep(time.Duration(100 * float64(time.Millisecond) * math.Exp(workSpread*rand.NormFloat64())))
		}
	}))
}
