package gateway

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSwitch: under load everything goes to the other version at once, nothing
// fails, and what was under way ends where it was. And back.
func TestSwitch(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	require.Eventually(t, func() bool { // until the first version has told that it is one
		return ask(t, "PUT", s.url+"/deploys/catalog", `{"live":"v1"}`).code == http.StatusOK
	}, soon, tick)
	var stop atomic.Bool
	var served, failed atomic.Int32
	var load sync.WaitGroup
	for _, sku := range []string{"a", "b", "c", "d"} { // one load at a time for each
		load.Go(func() {
			for !stop.Load() {
				if ask(t, "GET", s.url+"/products/"+sku, "").code == http.StatusOK {
					served.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}
	defer func() { stop.Store(true); load.Wait() }()
	under := func(n int32) {
		from := served.Load()
		require.Eventually(t, func() bool { return served.Load() >= from+n }, soon, tick)
	}
	under(20)
	assert.Zero(t, s.v2.calls.Load())

	s.v1.slow.Store(300)
	var early answered
	var first sync.WaitGroup
	before := s.v1.calls.Load()
	first.Go(func() { early = ask(t, "GET", s.url+"/products/early", "") })
	require.Eventually(t, func() bool { return s.v1.calls.Load() >= before+5 }, soon, tick)
	s.deploy(t, `{"live":"v2"}`)
	after := ask(t, "GET", s.url+"/products/late", "")
	assert.Contains(t, after.body, `"version":"v2"`)
	first.Wait()
	assert.Equal(t, 200, early.code)

	v1 := s.v1.calls.Load()
	under(50)
	assert.Equal(t, v1, s.v1.calls.Load(), "no new request for the old version")

	s.v1.slow.Store(0)
	s.deploy(t, `{"live":"v1"}`)
	assert.Contains(t, ask(t, "GET", s.url+"/products/back", "").body, `"version":"v1"`)
	under(20)
	assert.Zero(t, failed.Load())
	assert.Contains(t, state(t, s.url).Reason, "from v2 to v1")
}

func TestDeployRefusals(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for name, tt := range map[string]struct {
		path, body string
		code       int
	}{
		"no such service": {"/deploys/psp", `{"live":"v1"}`, 404},
		"no such version": {"/deploys/catalog", `{"live":"v7"}`, 409},
		"nothing":         {"/deploys/catalog", `{}`, 422},
		"both":            {"/deploys/catalog", `{"live":"v1","canary":{"version":"v2","weight":1}}`, 422},
		"weight":          {"/deploys/catalog", `{"canary":{"version":"v2","weight":101}}`, 422},
		"version":         {"/deploys/catalog", `{"live":"v 1"}`, 422},
		"no json":         {"/deploys/catalog", `v2`, 400},
		"percent":         {"/migrations/profile", `{"percent":101}`, 422},
		"no percent":      {"/migrations/profile", `{}`, 422},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, "PUT", s.url+tt.path, tt.body)
			assert.Equal(t, tt.code, a.code, a.body)
		})
	}
	alone := start(t, behind(t, nil))
	a := ask(t, "PUT", alone+"/migrations/profile", `{"percent":10}`)
	assert.Equal(t, 503, a.code, "the store of decisions is not there")
	assert.Contains(t, a.body, `"executed":false`)
}
