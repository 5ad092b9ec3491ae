package orders

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/call"
	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

// TestOutcomes: whatever a step does, the order ends, and both partners end
// with all of it or nothing.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		items    []string
		fault    func(string, int) string
		code     int
		status   string
		expected [2]string // reservation and charge in the end
	}{
		"all is well":            {code: 201, status: "confirmed", expected: [2]string{"committed", "done"}},
		"out of stock":           {fault: always(routeReserve, refuses), code: 409, status: "cancelled"},
		"declined":               {items: []string{"yacht"}, code: 402, status: "cancelled", expected: [2]string{"undone", ""}},
		"inventory broken":       {fault: always(routeReserve, fails), code: 503, status: "cancelled", expected: [2]string{"undone", ""}},
		"payments broken":        {fault: always(routeCharge, fails), code: 503, status: "cancelled", expected: [2]string{"undone", "undone"}},
		"answer lost, reserve":   {fault: always(routeReserve, loses), code: 503, status: "cancelled", expected: [2]string{"undone", ""}},
		"answer lost, charge":    {fault: always(routeCharge, loses), code: 503, status: "cancelled", expected: [2]string{"undone", "undone"}},
		"answer lost, commit":    {fault: always(routeCommit, loses), code: 503, status: "cancelled", expected: [2]string{"undone", "undone"}},
		"one answer lost":        {fault: first(routeCharge, loses), code: 201, status: "confirmed", expected: [2]string{"committed", "done"}},
		"commit refused":         {fault: always(routeCommit, refuses), code: 409, status: "cancelled", expected: [2]string{"undone", "undone"}},
		"undoing fails at first": {items: []string{"yacht"}, fault: first(routeRelease, fails), code: 402, status: "cancelled", expected: [2]string{"undone", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPartners(t)
			if tt.fault != nil {
				p.setFault(tt.fault)
			}
			if tt.items == nil {
				tt.items = []string{"tea", "coffee"}
			}
			h := servicetest.Host(t)
			o := parts(t, h, p, "orders-1")
			items := []Item{}
			for _, i := range tt.items {
				items = append(items, Item{i, 1})
			}
			s, err := o.place(t.Context(), Place{ID: "a", Customer: "ada", Items: items})
			require.NoError(t, err)
			assert.Equal(t, tt.status, s.answer().Status)
			if tt.code != http.StatusCreated {
				assert.Equal(t, tt.code, s.Code)
			}
			runUntil(t, o.compensator.run, func() bool { return stateOf(t, o.log, "a").final() })
			reservation, charge := p.effects("a")
			assert.Equal(t, tt.expected, [2]string{reservation, charge})
			assert.LessOrEqual(t, p.called(routeCharge), retryAttempts)
			assert.Equal(t, 1.0, servicetest.Metric(t, h, "saga_total"))
		})
	}
}

// first is a fault of the first call of a route.
func first(route, fault string) func(string, int) string {
	return func(r string, n int) string {
		if r == route && n == 1 {
			return fault
		}
		return ""
	}
}

func TestAnswer(t *testing.T) {
	refused := func(status int) error { return &stepError{err: &call.StatusError{Status: status}} }
	for err, want := range map[error]int{
		refused(409): 409, refused(402): 402, refused(422): 422, refused(400): 503, refused(503): 503,
		&call.LostError{Err: errors.New("reset")}: 503, context.DeadlineExceeded: 503, errInterrupted: 503,
	} {
		code, reason := answer(err)
		assert.Equal(t, want, code, "%v", err)
		_ = reason
	}
}

// TestReason: what a callee says can be stored in any database and published.
func TestReason(t *testing.T) {
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		p := newPartners(t)
		p.detail = strings.Repeat("out\x00 of\nstock ", 1000)
		p.setFault(always(routeReserve, refuses))
		o := parts(t, h, p, "orders-1")
		s, err := o.place(t.Context(), placed("a"))
		require.NoError(t, err)
		assert.Equal(t, stateCancelled, s.State)
		assert.True(t, strings.HasPrefix(s.Reason, "out  of stock out"))
		assert.LessOrEqual(t, len(s.Reason), maxReason+4)
	})
	assert.Equal(t, strings.Repeat("\uFFFD", maxReason/3+1), short(strings.Repeat("\xff", 999)))
}

// TestSameOrderAtOnce: the same id on both instances, many times: it runs once,
// and all get its result.
func TestSameOrderAtOnce(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		p := newPartners(t)
		nats := servicetest.Bus(t)
		urls := []string{
			instance(t, config(t, 1, p.env(nats, storetest.Env(h)))),
			instance(t, config(t, 2, p.env(nats, storetest.Env(h)))),
		}
		var wg sync.WaitGroup
		for n := range 4 {
			for i := range 4 {
				wg.Go(func() {
					id, text := fmt.Sprintf("same-%d", n), ""
					assert.Eventually(t, func() bool { // a database that is too busy now answers 503
						var code int
						code, text = servicetest.Post(t, urls[i%2]+"/orders", id, body(id, "ada", "tea"))
						return code == http.StatusCreated
					}, waitLong, tick, "%s", text)
					assert.Contains(t, text, `"status":"confirmed"`)
				})
			}
		}
		wg.Wait()
		assert.Equal(t, 4, p.called(routeCharge))
		code, text := servicetest.Post(t, urls[1]+"/orders", "same-1", body("same-1", "ada", "coffee"))
		assert.Equal(t, http.StatusUnprocessableEntity, code, text)
	})
}

func TestFullBacklogTakesNoOrders(t *testing.T) {
	o := parts(t, servicetest.Host(t), newPartners(t), "orders-1")
	o.compensator.backlog.Store(maxBacklog)
	_, err := o.place(t.Context(), placed("a"))
	require.ErrorIs(t, err, errOverloaded)
	assert.Empty(t, stateOf(t, o.log, "a"), "the order was not begun")
}
