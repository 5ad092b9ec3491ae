package record

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A run of before there were traces is read as one without any; one that lost
// its spans is not.
func TestRunsWithoutSpans(t *testing.T) {
	write := func(t *testing.T, spans int) string {
		dir := t.TempDir() + "/run"
		w, err := Create(dir, Header{Run: "r", Started: time.Now()})
		require.NoError(t, err)
		for range spans {
			require.NoError(t, w.Put(Spans, TraceSpan{Trace: "t"}))
		}
		require.NoError(t, w.Close(End{Reason: EndDone}))
		require.NoError(t, os.Remove(path(dir, Spans)))
		return dir
	}
	run, err := Open(write(t, 0))
	require.NoError(t, err)
	assert.Empty(t, run.Gaps)
	run, err = Open(write(t, 2))
	require.NoError(t, err)
	assert.Equal(t, []string{"stream spans holds 0 lines of 2"}, run.Gaps)
}
