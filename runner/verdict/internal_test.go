package verdict

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"squall/runner/record"
	"squall/scenarios/spec"
)

type panicking struct{}

func (panicking) Judge(context.Context, *View, *Finding) { panic("index out of range") }

func TestCheckThatPanicsIsAnError(t *testing.T) {
	c := declared{Declared: Declared{Check: spec.Check{ID: "x", Kind: "slo"}, Group: "expect"}, checker: panicking{}}
	f := c.blank()
	run(context.Background(), c, &View{}, &f)
	assert.Equal(t, Error, f.Verdict)
	assert.Equal(t, "check slo panicked: index out of range", f.Why)
}

type mute struct{}

func (mute) Judge(context.Context, *View, *Finding) {}

func TestCheckThatSaysNothingIsAnError(t *testing.T) {
	c := declared{checker: mute{}}
	f := c.blank()
	run(context.Background(), c, &View{}, &f)
	assert.Equal(t, Error, f.Verdict)
}

func TestMatchPath(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "/x", true},
		{"/charges", "/charges", true},
		{"/charges", "/charges?now", true},
		{"/charges", "/charges/1", false},
		{"/reservations/*/commit", "/reservations/7/commit", true},
		{"/reservations/*", "/reservations/7/commit", false},
		{"/reservations/**", "/reservations/7/commit", true},
		{"/reservations/**", "/reservations", false},
		{"/reservations/**", "/refunds/7", false},
		{"/**", "/any/thing", true},
		{"[", "/x", false},
	} {
		assert.Equal(t, tt.want, matchPath(tt.pattern, tt.path), "%s %s", tt.pattern, tt.path)
	}
}

func TestFormats(t *testing.T) {
	for v, want := range map[float64]string{1: "100%", 0: "0%", 0.997: "99.7%", 0.99999: "99.999%", 0.00001: "0.001%", 0.5: "50%"} {
		assert.Equal(t, want, percent(v))
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 420 * time.Nanosecond: "0s", 1234 * time.Microsecond: "1.2ms", 812345 * time.Microsecond: "812ms",
		3456 * time.Millisecond: "3.46s", 90 * time.Second: "1m30s",
	} {
		assert.Equal(t, want, short(d))
	}
	assert.Equal(t, "35% below", against(65, 100))
	assert.Equal(t, "12% above", against(1.12, 1))
	assert.Equal(t, "+3", against(3, 0))
	for text, want := range map[string]unit{"99%": ratioUnit, "0.99": plainUnit, "800ms": secondsUnit, "3": plainUnit, "1m": secondsUnit, "0": plainUnit} {
		assert.Equal(t, want, unitOf(text), text)
	}
}

func TestBoundsAbsorbRounding(t *testing.T) {
	q := &spec.Quantity{}
	assert.NoError(t, q.FromScalar("99.9%"))
	assert.True(t, boundsOf(spec.Check{AtLeast: q}).met(999.0/1000))
	assert.False(t, boundsOf(spec.Check{Above: q}).met(999.0/1000))
	assert.False(t, boundsOf(spec.Check{AtLeast: q}).met(998.0/1000))
}

// A pooled connection that is reset while idle is no call: its requests have
// lines of their own. One that is reset before its first request is one.
func TestConnectionsAsCalls(t *testing.T) {
	assert.True(t, isCall(&record.Exchange{Method: "POST"}))
	assert.True(t, isCall(&record.Exchange{Error: "reset"}))
	assert.False(t, isCall(&record.Exchange{Error: "reset", In: 900, Out: 4000}))
	assert.False(t, isCall(&record.Exchange{}))
}

func TestSourcesOfSources(t *testing.T) {
	sys := &spec.System{Spec: spec.SystemSpec{Ledger: map[string]spec.Books{
		"money": {Of: []string{"a", "more"}}, "more": {Of: []string{"b", "money"}}, "a": {}, "b": {},
	}}}
	assert.Equal(t, []string{"a", "b"}, basicSources(sys, "money"), "a circle ends")
}
