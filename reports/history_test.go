package reports

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/verdict"
)

// past is a history of one scenario: a verdict and a room each.
func past(verdicts string, rooms ...float64) (out []Past) {
	words := map[rune]string{'p': "pass", 'f': "fail", 'i': "inconclusive", 's': "skipped"}
	for i, v := range verdicts {
		p := Past{At: time.Unix(int64(i), 0), Name: "x", Verdict: words[v]}
		if i < len(rooms) {
			p.Assertions = []PastAssertion{{ID: "fast", Verdict: p.Verdict, Room: &rooms[i]}}
		}
		out = append(out, p)
	}
	return out
}

func TestTrendsTellWhatIsNew(t *testing.T) {
	for _, c := range []struct {
		past []Past
		news []string
	}{
		{past("p"), nil},
		{past("ppp"), nil},
		{past("ppf", 3, 3, -1), []string{"newly failing: fast"}},
		{past("ppff"), nil},
		{past("ppi"), []string{"newly inconclusive"}},
		{past("ps"), nil},
		{past("ffp"), []string{"passes again"}},
		{past("pfp"), []string{"passes again", "newly flaky"}},
		{past("pfpp"), nil},
		{past("pfffffffffp"), []string{"passes again"}},
		{past("pppp", 4, 5, 6, 1), []string{"fast lost margin: 1 of 5 left"}},
		{past("pppp", 4, 5, 6, 3), nil},
		{past("ppp", 4, 5, 1), nil},
	} {
		got := Trends(c.past)
		require.Len(t, got, 1)
		assert.Equal(t, c.news, got[0].News, got[0].Marks())
	}
}

func TestRoomIsOnTheRightSideOfTheBound(t *testing.T) {
	for _, c := range []struct {
		expected, margin string
		want             float64
	}{
		{"at least 99%", "+0.7 points", 0.7},
		{"at most 5%", "+0.7 points", -0.7},
		{"below 800ms", "35% below", 35},
		{"above 3", "35% below", -35},
		{"below 800ms", "12% above", -12},
	} {
		got := room(verdict.Finding{Expected: c.expected, Margin: c.margin})
		require.NotNil(t, got, c)
		assert.InDelta(t, c.want, *got, 1e-9, c)
	}
	assert.Nil(t, room(verdict.Finding{Margin: "2 operations too many"}))
}

func TestHistoryIsAppendedAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "history.jsonl")
	got, err := ReadHistory(path)
	require.NoError(t, err)
	assert.Empty(t, got)
	require.NoError(t, AppendHistory(path, suite(t)))
	require.NoError(t, AppendHistory(path, []Scenario{repeated(t)}))
	got, err = ReadHistory(path)
	require.NoError(t, err)
	require.Len(t, got, 4)
	assert.Equal(t, "pass", got[0].Verdict)
	assert.Equal(t, 3, got[3].Runs)
	assert.Equal(t, "charged-once", got[1].Assertions[1].ID)

	require.NoError(t, os.WriteFile(path, []byte("{\"name\":\"x\"}\n\nnot JSON\n"), 0o644))
	_, err = ReadHistory(path)
	assert.ErrorContains(t, err, "history.jsonl:3: no line of a history")
}

// pastOfScenario passed twice and is newly failing.
func pastOfScenario(name string) []Past {
	history := past("ppf", 3, 3, -1)
	for i := range history {
		history[i].Name = name
	}
	return history
}

func TestIndexShowsThePast(t *testing.T) {
	all := suite(t)
	history := pastOfScenario(all[1].Name())
	var b bytes.Buffer
	require.NoError(t, Index(&b, all, history))
	root := selfContained(t, b.String())
	assert.Contains(t, words(root), "✓✓✗ newly failing 27.2 s", "what is not met is said above")
	header := elements(root, "header")[0]
	assert.Contains(t, words(header), "New orchestrator-killed newly failing: fast")
	assert.Equal(t, all[1].Runs[0].Link(), attr(elements(header, "a")[0], "href"))

	var text bytes.Buffer
	require.NoError(t, HistoryText(&text, Trends(history)))
	assert.Equal(t, "orchestrator-killed  ✓✓✗\n                     newly failing: fast\n", text.String())
}

func FuzzHistory(f *testing.F) {
	f.Add([]byte("{\"name\":\"x\",\"verdict\":\"pass\",\"assertions\":[{\"id\":\"a\",\"room\":1}]}\n{\"name\":\"x\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "h")
		require.NoError(t, os.WriteFile(path, data, 0o644))
		past, err := ReadHistory(path)
		if err != nil {
			return
		}
		var b bytes.Buffer
		require.NoError(t, Index(&b, nil, past))
		require.NoError(t, HistoryText(&b, Trends(past)))
	})
}
