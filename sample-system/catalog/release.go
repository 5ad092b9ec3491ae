// The bad release.
//
// Answers: nothing; it plays the version that should not have been deployed, for
// those who roll it out to be found out by the canary's controller.
// Numbers: SHOP_FAULTY, the percentage of requests that get a 500; SHOP_SLOW, the
// milliseconds added to each. Both 0 unless set.
// Costs: nothing when unset.
// Breaks without it: a canary has nothing to be caught at (gateway/canary.go); TestBadRelease.
// No off switch.

package catalog

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"squall/sample-system/internal/backoff"
	"squall/sample-system/internal/service"
)

type release struct {
	faulty float64 // share, 0 to 1
	slow   time.Duration
}

func newRelease(h *service.Host) (*release, error) {
	percent, err := number(h, "SHOP_FAULTY", 100)
	if err != nil {
		return nil, err
	}
	ms, err := number(h, "SHOP_SLOW", 60_000)
	if err != nil {
		return nil, err
	}
	return &release{faulty: float64(percent) / 100, slow: time.Duration(ms) * time.Millisecond}, nil
}

func number(h *service.Host, variable string, most int) (int, error) {
	v := h.Getenv(variable)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("configure %s: %s is %q, want a number from 0 to %d", h.Name, variable, v, most)
	}
	return n, nil
}

// play serves as this release does, well or badly.
func (rel *release) play(serve service.Handler) service.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if rel.slow > 0 {
			if err := backoff.Wait(r.Context(), rel.slow, nil); err != nil {
				return err
			}
		}
		if rand.Float64() < rel.faulty {
			return service.Problem{Status: http.StatusInternalServerError, Title: "this release is broken"}
		}
		return serve(w, r)
	}
}
