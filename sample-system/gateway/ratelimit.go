// Rate limit per client.
//
// Answers: one client that asks for more than its share. It gets 429 and the time
// after which it may come again, before anything is done for it; the others
// notice nothing. A client is the customer of its token; without one, what it
// calls itself by X-Client-Id; else its address.
// Numbers: 300 requests/s with bursts of 600, more than the whole load of this
// shop: a limit for floods, not for customers. SHOP_RATE sets another rate, the
// burst is twice that. The table of clients is bounded.
// Costs: a lookup per request. Who invents a new X-Client-Id for each request
// escapes; against that helps only what stands at the network's edge.
// Breaks without it: scenario backend-hangs, TestRateLimit. No off switch.

package gateway

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"

	"squall/sample-system/internal/policy"
	"squall/sample-system/internal/service"
)

// ClientHeader is what a client without a token calls itself.
const ClientHeader = "X-Client-Id"

const (
	defaultRate = 300.0 // requests per second
	burstFactor = 2
)

type rateLimit struct{ limit *policy.RateLimit }

func newRateLimit(h *service.Host) (*rateLimit, error) {
	rate := defaultRate
	if v := h.Getenv("SHOP_RATE"); v != "" {
		var err error
		if rate, err = strconv.ParseFloat(v, 64); err != nil || !(rate > 0 && rate < 1e6) {
			return nil, fmt.Errorf("configure %s: SHOP_RATE is %q, want requests per second", h.Name, v)
		}
	}
	return &rateLimit{policy.NewRateLimit(h, rate, max(1, int(burstFactor*rate)))}, nil
}

// admit refuses a client that asks too often.
func (l *rateLimit) admit(w http.ResponseWriter, r *http.Request, customer string) error {
	ok, after := l.limit.Allow(client(r, customer))
	if ok {
		return nil
	}
	w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(after.Seconds())))))
	return service.Problem{Status: http.StatusTooManyRequests, Title: "too many requests", Detail: "of this client"}.NotExecuted()
}

// client names who is asking; the kinds of names cannot be mistaken for each other.
func client(r *http.Request, customer string) string {
	if customer != "" {
		return "customer " + customer
	}
	if id := r.Header.Get(ClientHeader); service.ValidID(id) {
		return "client " + id
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return "address " + host
}
