package orders

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/service"
	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/storetest"
)

// TestCancel: a confirmed order is undone once, however often and on whichever
// instance that is asked for.
func TestCancel(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, h *service.Host) {
		p, url := newPartners(t), servicetest.Bus(t)
		env := p.env(url, storetest.Env(h))
		urls := []string{instance(t, config(t, 1, env)), instance(t, config(t, 2, env))}
		code, _ := placeAt(t, urls[0], "a", "tea")
		require.Equal(t, 201, code)
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				code, text := servicetest.Post(t, urls[i%2]+"/orders/a/cancel", "a.cancel", `{"customer":"ada"}`)
				assert.Equal(t, 200, code, text)
				assert.Contains(t, text, `"status":"cancelled"`)
			})
		}
		wg.Wait()
		s := becomes(t, urls[0], "a", "cancelled")
		assert.Equal(t, Status{ID: "a", Status: "cancelled", Reason: withdrawn, Amount: 1999, Customer: "ada", Version: 7}, s)
		assert.Equal(t, 2, p.undone["a"])
		code, s = placeAt(t, urls[1], "a", "tea")
		assert.Equal(t, http.StatusConflict, code, "the same order again stays cancelled")
		assert.Equal(t, "cancelled", s.Status)
		events, _ := stream(t, url, 3)
		assert.Equal(t, []string{"orders.placed", "orders.confirmed", "orders.cancelled"}, []string{events[0].Type, events[1].Type, events[2].Type})
	})
}

func TestCancelRefused(t *testing.T) {
	p := newPartners(t)
	url := single(t, p)
	code, s := placeAt(t, url, "bought", "tea")
	require.Equal(t, 201, code, s.Reason)
	code, _ = placeAt(t, url, "declined", "yacht")
	require.Equal(t, 402, code)
	for name, tt := range map[string]struct {
		id, body string
		code     int
	}{
		"never placed":      {"other", `{"customer":"ada"}`, 404},
		"somebody else's":   {"bought", `{"customer":"eve"}`, 403},
		"declined already":  {"declined", `{"customer":"ada"}`, 200},
		"no body":           {"bought", ``, 400},
		"unknown field":     {"bought", `{"client":"ada"}`, 400},
		"nobody is checked": {"declined", `{}`, 200},
	} {
		t.Run(name, func(t *testing.T) {
			code, text := servicetest.Post(t, url+"/orders/"+tt.id+"/cancel", "k", tt.body)
			assert.Equal(t, tt.code, code, text)
		})
	}
	becomes(t, url, "bought", "confirmed")
}

func TestCancelTooEarly(t *testing.T) {
	o := parts(t, servicetest.Host(t), newPartners(t), "orders-1")
	_, err := o.log.append(t.Context(), order{ID: "a"}, placedFact())
	require.NoError(t, err)
	_, err = o.cancel(t.Context(), "a", "ada")
	var problem service.Problem
	require.ErrorAs(t, err, &problem)
	assert.Equal(t, http.StatusConflict, problem.Status)
}

// TestCancelAgainstAnother: as long as another instance is ahead, the order is
// looked at again and again, but not all the time.
func TestCancelAgainstAnother(t *testing.T) {
	h := servicetest.Host(t)
	o := parts(t, h, newPartners(t), "orders-1")
	fill := []change{placedFact(), {kind: kindReserved}, {kind: kindCharged}, {kind: kindConfirmed}}
	s, err := o.log.append(t.Context(), order{ID: "a"}, fill...)
	require.NoError(t, err)
	_, err = o.log.db.Exec(t.Context(), `INSERT INTO events (order_id, seq, type, data, at) VALUES ('a', ?, 'withdrawn', '{}', 1)`, s.Seq+1)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = o.cancel(ctx, "a", "ada")
	require.Error(t, err)
	conflicts := servicetest.Metric(t, h, "order_conflicts_total")
	assert.Greater(t, conflicts, 1.0)
	assert.Less(t, conflicts, 20.0)
}
