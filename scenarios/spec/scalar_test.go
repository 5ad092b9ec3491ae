package spec

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "1m30s": 90 * time.Second, "2h": 2 * time.Hour, "0s": 0, "1.5s": 1500 * time.Millisecond,
	} {
		var d Duration
		require.NoError(t, d.FromScalar(text), text)
		assert.Equal(t, Duration(want), d, text)
	}
	for text, want := range map[string]string{
		"3":    "duration needs a unit: write 250ms or 3s",
		"0":    "duration needs a unit: write 250ms or 3s",
		"soon": `"soon" is not a duration: write 250ms, 3s or 1m30s`,
		"":     `"" is not a duration: write 250ms, 3s or 1m30s`,
		"-1s":  `duration "-1s" is negative`,
	} {
		var d Duration
		assert.EqualError(t, d.FromScalar(text), want)
	}
	for want, d := range map[string]time.Duration{
		"0s": 0, "1m30s": 90 * time.Second, "2m": 2 * time.Minute, "1h": time.Hour, "1h0m5s": time.Hour + 5*time.Second, "10s": 10 * time.Second, "20m": 20 * time.Minute,
	} {
		assert.Equal(t, want, Duration(d).String())
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]float64{"40/s": 40, "600/m": 10, "7200/h": 2, "0.5/s": 0.5, "40 / s": 40} {
		var r Rate
		require.NoError(t, r.FromScalar(text), text)
		assert.Equal(t, Rate{want, text}, r)
	}
	for text, want := range map[string]string{
		"40":    "rate needs a unit: write 40/s or 600/m",
		"40/d":  `"40/d" is not a rate: write 40/s, 600/m or 100/h`,
		"x/s":   `"x/s" is not a rate: write 40/s, 600/m or 100/h`,
		"inf/s": `"inf/s" is not a rate: write 40/s, 600/m or 100/h`,
		"0/s":   `rate "0/s" is not above zero`,
		"-1/s":  `rate "-1/s" is not above zero`,
	} {
		var r Rate
		assert.EqualError(t, r.FromScalar(text), want)
	}
}

func TestQuantity(t *testing.T) {
	for text, want := range map[string]float64{"99%": 0.99, "99.5%": 0.995, "150%": 1.5, "800ms": 0.8, "1m": 60, "3": 3, "0.25": 0.25, "-1": -1} {
		var q Quantity
		require.NoError(t, q.FromScalar(text), text)
		assert.InDelta(t, want, q.Value, 1e-12, text)
		assert.Equal(t, text, q.String())
	}
	for _, text := range []string{"", "%", "most", "40/s", "nan", "inf", "0x10", "1_000", "3 s"} {
		var q Quantity
		assert.EqualError(t, q.FromScalar(text), fmt.Sprintf("%q is not a bound: write a ratio (99%%), a duration (800ms) or a number (3)", text))
	}
}

func TestRatio(t *testing.T) {
	for text, want := range map[string]Ratio{"0": 0, "1": 1, "0.3": 0.3, "30%": 0.3, "99.5%": 0.995, "100%": 1} {
		var r Ratio
		require.NoError(t, r.FromScalar(text), text)
		assert.Equal(t, want, r)
	}
	for text, want := range map[string]string{
		"30":   "ratio 30 is above 1: write 0.3 or 30%",
		"101%": `ratio "101%" is above 100%`,
		"-0.1": `ratio "-0.1" is negative`,
		"half": `"half" is not a ratio: write 0.3 or 30%`,
		"nan":  `"nan" is not a ratio: write 0.3 or 30%`,
	} {
		var r Ratio
		assert.EqualError(t, r.FromScalar(text), want)
	}
	assert.Equal(t, "57%", Ratio(0.57).String(), "no noise from multiplying by 100")
}

// Plans print scalars as they were written, and saved plans read back.
func TestScalarsThroughJSON(t *testing.T) {
	type all struct {
		D Duration
		R Rate
		Q *Quantity
		S Ratio
	}
	src := `{"D":"1m30s","R":"600/m","Q":"99.50%","S":"30%"}`
	var v all
	require.NoError(t, json.Unmarshal([]byte(src), &v))
	out, err := json.Marshal(v)
	require.NoError(t, err)
	assert.Equal(t, src, string(out))
	assert.Equal(t, []string{"40/s", "0.5"}, []string{Rate{PerSecond: 40}.String(), Quantity{Value: 0.5}.String()})
	assert.Error(t, json.Unmarshal([]byte(`{"D":"3"}`), &v))
}

// What is accepted is within its bounds, and a duration's printed form reads
// back as the same value.
func FuzzScalars(f *testing.F) {
	for _, s := range []string{"250ms", "1m30s", "40/s", "600 / m", "99.5%", "800ms", "3", "-1", ".5", "1e3", "", "x", "1.s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d Duration
		var r Rate
		var s Ratio
		var q Quantity
		if d.FromScalar(text) == nil {
			var again Duration
			require.NoError(t, again.FromScalar(d.String()))
			assert.Equal(t, d, again)
		}
		if r.FromScalar(text) == nil {
			assert.Greater(t, r.PerSecond, 0.0)
		}
		if s.FromScalar(text) == nil {
			assert.True(t, s >= 0 && s <= 1, s)
		}
		if q.FromScalar(text) == nil {
			assert.False(t, math.IsNaN(q.Value) || math.IsInf(q.Value, 0))
		}
	})
}

func TestScalarPatterns(t *testing.T) {
	for _, v := range []struct {
		kind describer
		yes  []string
		no   []string
	}{
		{Duration(0), []string{"250ms", "1m30s", "1.5s", ".5s"}, []string{"3", "s", "-1s", "3 s"}},
		{Rate{}, []string{"40/s", "0.5/m", "40 / s"}, []string{"40", "40/d"}},
		{Quantity{}, []string{"99%", "800ms", "3", "-1", "0.25"}, []string{"", "most", "40/s"}},
		{Ratio(0), []string{"0.3", "30%", "1"}, []string{"half", "-1"}},
	} {
		name, example, pattern := v.kind.ScalarDoc()
		re := regexp.MustCompile(pattern)
		assert.True(t, re.MatchString(example), name)
		for _, s := range v.yes {
			assert.True(t, re.MatchString(s), "%s %s", name, s)
		}
		for _, s := range v.no {
			assert.False(t, re.MatchString(s), "%s %s", name, s)
		}
	}
}
