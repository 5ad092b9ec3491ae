package registry

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/defect"
)

var (
	start    = time.Unix(1000, 0)
	errReset = errors.New("connection reset")
)

func noEnv(string) string { return "" }

// viewOf has instances that have registered; "payments-2" of version v2.
func viewOf(list string, defects []string, names ...string) *view {
	v := newView(newWays("payments", list, noEnv), defect.Of(defects...))
	for _, n := range names {
		v.seen(instance(n))
	}
	return v
}

func instance(name string) Instance {
	return Instance{Service: "payments", Name: name, Addr: "10.0.0.1:80", Version: "v1", Weight: 1}
}

func names(v *view, now time.Time) []string {
	list, _ := v.instances(now)
	out := []string{}
	for _, i := range list {
		out = append(out, i.Name)
	}
	return out
}

// TestEviction: who is still called after instances have gone. Under D22 all.
func TestEviction(t *testing.T) {
	four := []string{"payments-1", "payments-2", "payments-3", "payments-4"}
	for name, tt := range map[string]struct {
		expire, drain []string
		after         time.Duration
		want          []string
		panicking     bool
	}{
		"one of four":             {four[:1], nil, 0, four[1:], false},
		"half":                    {four[:2], nil, 0, four[2:], false},
		"more than half are kept": {four[:3], nil, 0, four, true},
		"but not for ever":        {four[:3], nil, remember, four[3:], false},
		"all are kept":            {four, nil, 0, four, true},
		"and for ever":            {four, nil, time.Hour, four, true},
		"drained ones leave":      {nil, four[:3], 0, four[3:], false},
		"but the last":            {nil, four, 0, four[3:], true},
		"drained ones do not count as having died": {four[:1], four[1:3], 0, four[3:], false},
	} {
		for _, defects := range [][]string{nil, {defect.StaleRegistry}} {
			v := viewOf("", defects, four...)
			for _, n := range tt.drain {
				v.left(n, true, start)
			}
			for _, n := range tt.expire {
				v.left(n, false, start)
			}
			got, panicking := v.instances(start.Add(tt.after))
			if defects == nil {
				assert.Equal(t, tt.want, names(v, start.Add(tt.after)), name)
				assert.Equal(t, tt.panicking, panicking, name)
			} else {
				assert.Len(t, got, 4, "D22: %s", name)
			}
		}
	}
}

// TestDarkIsNotTheLast: a dark instance neither makes the others' death look
// bearable, nor is it called itself when it has died.
func TestDarkIsNotTheLast(t *testing.T) {
	three := []string{"payments-1", "payments-2", "payments-3"}
	const dark = "payments-dark"
	for name, tt := range map[string]struct {
		known, expire, drain []string
		after                time.Duration
		want                 []string
	}{
		"the last dies":           {three[:1], three[:1], nil, 0, []string{"payments-1", dark}},
		"the last is drained":     {three[:1], nil, three[:1], remember, []string{"payments-1", dark}},
		"more than half die":      {three, three[:2], nil, 0, append(slices.Clone(three), dark)},
		"the dark one dies":       {three[:1], []string{dark}, nil, 0, three[:1]},
		"all die":                 {three[:1], []string{"payments-1", dark}, nil, 0, three[:1]},
		"the dark one is drained": {three[:1], three[:1], []string{dark}, 0, three[:1]},
	} {
		t.Run(name, func(t *testing.T) {
			v := viewOf("", nil, tt.known...)
			i := instance(dark)
			i.Weight = 0
			v.seen(i)
			for _, n := range tt.expire {
				v.left(n, false, start)
			}
			for _, n := range tt.drain {
				v.left(n, true, start)
			}
			assert.Equal(t, tt.want, names(v, start.Add(tt.after)))
			got, _ := take(t, v, nil, start.Add(tt.after))
			assert.NotEqual(t, dark, got)
		})
	}
}

func TestGoneInstanceComesBack(t *testing.T) {
	v := viewOf("", nil, "payments-1", "payments-2")
	v.left("payments-1", false, start)
	assert.Equal(t, []string{"payments-2"}, names(v, start))
	v.seen(instance("payments-1"))
	assert.Equal(t, []string{"payments-1", "payments-2"}, names(v, start))
}

// TestFirstKnown: the environment's list is what is known first; what registers
// replaces it, and what does not is given up when the registry has answered.
func TestFirstKnown(t *testing.T) {
	v := viewOf("a:1, http://b:2/", nil)
	assert.Equal(t, []string{"payments-1", "payments-2"}, names(v, start))
	v.only(nil, start)
	assert.Equal(t, []string{"payments-1", "payments-2"}, names(v, start), "an empty registry is no reason")
	v.seen(instance("payments-2"))
	v.only(map[string]bool{"payments-2": true}, start)
	assert.Equal(t, []string{"payments-2"}, names(v, start))
	single := viewOf("a:1", nil)
	assert.Equal(t, []string{"payments"}, names(single, start))
	single.seen(instance("payments-1"))
	assert.Equal(t, []string{"payments-1"}, names(single, start), "the same one under its name")
}

func TestWays(t *testing.T) {
	env := func(name string) string {
		return map[string]string{"CATALOG_CANARY_URL": "http://proxy:9"}[name]
	}
	w := newWays("catalog", "p1:1,https://p2:2/", env)
	for name, want := range map[string]string{
		"catalog": "http://p1:1", "catalog-1": "http://p1:1", "catalog-2": "https://p2:2",
		"catalog-3": "http://own:3", "catalog-canary": "http://proxy:9", "catalog-0": "http://own:3", "catalog-x": "http://own:3",
	} {
		assert.Equal(t, want, w.to(Instance{Name: name, Addr: "own:3"}), name)
	}
}

// take picks and returns the name of who was picked, and what ends the call.
func take(t *testing.T, v *view, match func(Instance) bool, now time.Time) (string, func(error)) {
	m, trial, err := v.pick(match, now)
	require.NoError(t, err)
	return m.Name, func(err error) { v.ended(m, trial, err, now) }
}

func TestLeastInFlight(t *testing.T) {
	v := viewOf("", nil, "payments-1", "payments-2")
	heavy := instance("payments-3")
	heavy.Weight = 3
	v.seen(heavy)
	took := map[string]int{}
	for range 10 {
		name, _ := take(t, v, nil, start)
		took[name]++
	}
	assert.Equal(t, map[string]int{"payments-1": 2, "payments-2": 2, "payments-3": 6}, took)
}

func TestEqualsTakeTurns(t *testing.T) {
	v := viewOf("", nil, "payments-1", "payments-2", "payments-3")
	took := map[string]int{}
	for range 9 {
		name, done := take(t, v, nil, start)
		took[name]++
		done(nil)
	}
	assert.Equal(t, map[string]int{"payments-1": 3, "payments-2": 3, "payments-3": 3}, took)
}

func TestMatchAndDark(t *testing.T) {
	v := viewOf("", nil, "payments-1")
	dark := instance("payments-canary")
	dark.Weight, dark.Version = 0, "v2"
	v.seen(dark)
	for range 5 {
		name, _ := take(t, v, nil, start)
		assert.Equal(t, "payments-1", name)
	}
	name, _ := take(t, v, func(i Instance) bool { return i.Version == "v2" }, start)
	assert.Equal(t, "payments-canary", name)
	_, _, err := v.pick(func(i Instance) bool { return i.Version == "v3" }, start)
	assert.ErrorIs(t, err, ErrNone)
	_, _, err = viewOf("", nil).pick(nil, start)
	assert.ErrorIs(t, err, ErrNone)
}

// failures has every call to payments-1 fail and returns how many of n, one
// every 10 ms, went to it.
func failures(t *testing.T, v *view, n int) (hits int) {
	for i := range n {
		name, done := take(t, v, nil, start.Add(time.Duration(i)*10*time.Millisecond))
		if name == "payments-1" {
			hits++
			done(errReset)
		} else {
			done(nil)
		}
	}
	return hits
}

// TestUnreachableInstanceIsAvoided: of 10 s of calls only the trials fail; under
// D22 half of them.
func TestUnreachableInstanceIsAvoided(t *testing.T) {
	assert.LessOrEqual(t, failures(t, viewOf("", nil, "payments-1", "payments-2"), 1000), 10)
	assert.Equal(t, 500, failures(t, viewOf("", []string{defect.StaleRegistry}, "payments-1", "payments-2"), 1000))
}

func TestPenalty(t *testing.T) {
	v := viewOf("", nil, "payments-1", "payments-2")
	fail := func(now time.Time) {
		for range 2 {
			name, done := take(t, v, nil, now)
			if name == "payments-1" {
				done(errReset)
			} else {
				done(nil)
			}
		}
	}
	now := start
	for _, want := range []time.Duration{firstPenalty, 2 * firstPenalty, 4 * firstPenalty, 8 * firstPenalty, 16 * firstPenalty, maxPenalty, maxPenalty} {
		fail(now)
		assert.Equal(t, now.Add(want), v.find("payments-1").health.out)
		now = now.Add(want)
	}
	only1 := func(i Instance) bool { return i.Name == "payments-1" }
	t.Run("one call is the trial", func(t *testing.T) {
		name, done := take(t, v, only1, now)
		require.Equal(t, "payments-1", name)
		for range 3 {
			other, _ := take(t, v, nil, now)
			assert.Equal(t, "payments-2", other, "though it has more in flight")
		}
		done(context.Canceled)
		assert.Equal(t, now, v.find("payments-1").health.out, "a call that was called off says nothing")
		_, done = take(t, v, only1, now)
		done(nil)
		assert.Equal(t, health{}, v.find("payments-1").health)
	})
	t.Run("many that fail at once count once", func(t *testing.T) {
		var ends []func(error)
		for range 20 {
			_, done := take(t, v, only1, now)
			ends = append(ends, done)
		}
		for _, done := range ends {
			done(errReset)
		}
		assert.Equal(t, now.Add(firstPenalty), v.find("payments-1").health.out)
	})
	t.Run("the last one is called all the same", func(t *testing.T) {
		v.left("payments-2", true, now)
		name, _ := take(t, v, nil, now)
		assert.Equal(t, "payments-1", name)
	})
}

func TestDecode(t *testing.T) {
	good := `{"service":"payments","name":"payments-2","addr":"10.0.0.1:80","ops":"10.0.0.1:81","version":"v2","weight":2}`
	i, err := decode("payments.payments-2", []byte(good))
	require.NoError(t, err)
	assert.Equal(t, Instance{Service: "payments", Name: "payments-2", Addr: "10.0.0.1:80", Ops: "10.0.0.1:81", Version: "v2", Weight: 2}, i)
	for value, want := range map[string]string{
		`{`: "unexpected end",
		`{"service":"payments","name":"payments-1","addr":"10.0.0.1:80"}`: `is of "payments.payments-1"`,
		`{"service":"payments","name":"payments-2","addr":"nowhere"}`:     "want host:port",
	} {
		_, err := decode("payments.payments-2", []byte(value))
		assert.ErrorContains(t, err, want)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("payments.payments-2", []byte(`{"service":"payments","name":"payments-2","addr":"10.0.0.1:80","weight":-3}`))
	f.Add("a.", []byte(`{"service":"a","addr":":1"}`))
	f.Add("", []byte(`null`))
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		i, err := decode(key, value)
		if err == nil && (i.Name == "" || i.Addr == "" || i.Weight < 0 || i.Weight > maxWeight) {
			t.Fatalf("accepted %q as %+v", value, i)
		}
	})
}

// An instance that listens on all addresses of its container is no use to others
// by the address it listens on: it is theirs as well.
func TestOthersReachWhoListensEverywhere(t *testing.T) {
	name, err := os.Hostname()
	require.NoError(t, err)
	for listen, want := range map[string]string{
		"[::]:8081": name + ":8081", "0.0.0.0:80": name + ":80",
		"127.0.0.1:80": "127.0.0.1:80", "catalog:80": "catalog:80", "[2001:db8::1]:80": "[2001:db8::1]:80",
	} {
		assert.Equal(t, want, reachable(listen), listen)
	}
}
