package orders

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func placedFact() change {
	return change{kindPlaced, factData{Customer: "ada", Items: []Item{{"tea", 2}}, Lines: []Line{{"tea", 2, 1999}}, Amount: 3998}}
}

func TestFold(t *testing.T) {
	failed := func(to state) change { return change{kindFailed, factData{Undo: to, Code: 503, Reason: "broken"}} }
	step := func(k kind) change { return change{kind: k} }
	for name, tt := range map[string]struct {
		changes []change
		want    state
		reason  string
	}{
		"placed":              {[]change{placedFact()}, stateReserving, ""},
		"reserved":            {[]change{placedFact(), step(kindReserved)}, stateCharging, ""},
		"confirmed":           {[]change{placedFact(), step(kindReserved), step(kindCharged), step(kindConfirmed)}, stateConfirmed, ""},
		"refused":             {[]change{placedFact(), failed(stateCancelled)}, stateCancelled, "broken"},
		"undone":              {[]change{placedFact(), step(kindReserved), failed(stateRefunding), step(kindRefunded), step(kindReleased)}, stateCancelled, "broken"},
		"withdrawn":           {[]change{placedFact(), step(kindReserved), step(kindCharged), step(kindConfirmed), {kindWithdrawn, factData{Reason: withdrawn}}}, stateRefunding, withdrawn},
		"no placing":          {[]change{step(kindReserved)}, "", ""},
		"a step missing":      {[]change{placedFact(), step(kindConfirmed)}, "", ""},
		"placed twice":        {[]change{placedFact(), placedFact()}, "", ""},
		"failed twice":        {[]change{placedFact(), failed(stateReleasing), failed(stateReleasing)}, "", ""},
		"failed to confirmed": {[]change{placedFact(), failed(stateConfirmed)}, "", ""},
		"after the end":       {[]change{placedFact(), failed(stateCancelled), step(kindReserved)}, "", ""},
		"withdrawn too early": {[]change{placedFact(), {kind: kindWithdrawn}}, "", ""},
		"unknown kind":        {[]change{placedFact(), step("exploded")}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, facts, err := extend(order{ID: "a"}, tt.changes)
			if tt.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, o.State)
			assert.Equal(t, tt.reason, o.Reason)
			assert.Equal(t, int64(len(tt.changes)), o.Seq)
			assert.Equal(t, int64(3998), o.Amount)
			again, err := fold("a", facts)
			require.NoError(t, err)
			assert.Equal(t, o, again)
			_, err = fold("a", append(facts[:0:0], facts[0], facts[len(facts)-1]))
			assert.Equal(t, len(facts) == 2, err == nil, "a gap, or the first twice: %v", err)
		})
	}
}

// FuzzDecodeData: a row that somebody has spoilt is an error, never a panic,
// and what can be read is written the same again.
func FuzzDecodeData(f *testing.F) {
	for _, seed := range []string{`{}`, `{"customer":"ada","items":[{"sku":"tea","qty":1}],"lines":[{"sku":"tea","qty":1,"price_cents":1999}],"amount_cents":1999}`,
		`{"undo":"releasing","code":503,"reason":"x"}`, `{"amount_cents":1e99}`, `null`, `[`, ``} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := decodeData(text)
		if err != nil {
			return
		}
		written, err := encodeData(d)
		require.NoError(t, err)
		again, err := decodeData(written)
		require.NoError(t, err)
		rewritten, err := encodeData(again)
		require.NoError(t, err)
		assert.Equal(t, written, rewritten)
	})
}
