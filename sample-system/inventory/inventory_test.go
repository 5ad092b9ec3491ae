package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/servicetest"
	"squall/sample-system/internal/store"
)

// TestCommands: each case is a row of commands with the status and the effects
// they must leave in the books.
func TestCommands(t *testing.T) {
	url := servicetest.Start(t, Setup, nil)
	type step struct {
		command string // reserve, reserve-all, commit or release
		code    int
	}
	for name, tt := range map[string]struct {
		steps   []step
		effects []int
	}{
		"reserve and commit":           {[]step{{"reserve", 201}, {"commit", 200}}, []int{1}},
		"repeated commands do nothing": {[]step{{"reserve", 201}, {"reserve", 201}, {"commit", 200}, {"commit", 200}}, []int{1}},
		"release once":                 {[]step{{"reserve", 201}, {"release", 200}, {"release", 200}}, []int{1, -1}},
		"release after commit":         {[]step{{"reserve", 201}, {"commit", 200}, {"release", 200}}, []int{1, -1}},
		"release blocks what is late":  {[]step{{"release", 200}, {"reserve", 409}, {"commit", 409}}, []int{}},
		"no commit after release":      {[]step{{"reserve", 201}, {"release", 200}, {"commit", 409}}, []int{1, -1}},
		"out of stock":                 {[]step{{"reserve-all", 201}, {"release", 200}}, []int{1, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			order := strings.ReplaceAll(name, " ", "-")
			for _, s := range tt.steps {
				path, body := "/reservations/"+order+"/"+s.command, ""
				switch s.command {
				case "reserve":
					path, body = "/reservations", fmt.Sprintf(`{"order":%q,"sku":"tea","qty":2}`, order)
				case "reserve-all":
					path, body = "/reservations", fmt.Sprintf(`{"order":%q,"sku":"rare","qty":%d}`, order, initialStock)
				}
				code, answer := servicetest.Post(t, url+path, order, body)
				require.Equal(t, s.code, code, "%s: %s", s.command, answer)
				if s.command == "reserve-all" {
					code, _ = servicetest.Post(t, url+"/reservations", "none", `{"order":"none","sku":"rare","qty":1}`)
					require.Equal(t, 409, code)
				}
			}
			assert.Equal(t, tt.effects, servicetest.Effects(t, url+"/audit/reservations", order))
		})
	}
	assert.Empty(t, servicetest.Effects(t, url+"/audit/reservations", "none"), "a refused reservation has no effect")
}

func TestExpiryReleasesForgottenReservations(t *testing.T) {
	db, err := store.Open(servicetest.Host(t), "inventory.db", schema)
	require.NoError(t, err)
	t.Cleanup(func() { db.Read.Close(); db.Write.Close() })
	s := &shelf{db: db}
	for _, order := range []string{"forgotten", "kept"} {
		_, err := s.reserve(t.Context(), ReserveRequest{order, "tea", 1})
		require.NoError(t, err)
	}
	_, err = s.commit(t.Context(), "kept")
	require.NoError(t, err)

	e := &expiry{shelf: s}
	n, err := e.expire(t.Context(), time.Now().Add(-time.Minute))
	require.NoError(t, err)
	assert.Zero(t, n, "not old enough")
	n, err = e.expire(t.Context(), time.Now().Add(time.Minute))
	require.NoError(t, err)
	assert.Equal(t, 1, n, "committed ones stay")
	_, err = s.commit(t.Context(), "forgotten")
	assert.Error(t, err)
}
