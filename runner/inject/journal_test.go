package inject

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestJournalSurvivesATornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "undo.ndjson")
	j, err := OpenJournal(path)
	require.NoError(t, err)
	require.NoError(t, j.Append(Line{ID: "a", Kind: "net-down", On: "x -> y", Step: StepIntent, Undo: json.RawMessage(`{"stage":"a"}`), Locator: json.RawMessage(`1`)}))
	require.NoError(t, j.Append(Line{ID: "b", Kind: "net-down", Step: StepIntent}))
	require.NoError(t, j.Append(Line{ID: "b", Kind: "net-down", Step: StepReverted}))
	require.NoError(t, j.Close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)

	for cut := 1; cut < 30; cut++ { // the last line is cut short, anywhere
		require.NoError(t, os.WriteFile(path, whole[:len(whole)-cut], 0o600))
		open, err := ReadJournal(path)
		require.NoError(t, err)
		require.Len(t, open, 2, "b was not reverted for sure")
		assert.JSONEq(t, `{"stage":"a"}`, string(open[0].Undo))
		assert.JSONEq(t, `1`, string(open[0].Locator))

		j, err = OpenJournal(path)
		require.NoError(t, err)
		require.NoError(t, j.Append(Line{ID: "a", On: "x -> y", Step: StepReverted}))
		require.NoError(t, j.Close())
		open, err = ReadJournal(path)
		require.NoError(t, err)
		require.Len(t, open, 1)
		assert.Equal(t, "b", open[0].ID)
	}
}

// failingFile tears lines in half, or keeps them off the disk.
type failingFile struct {
	*os.File
	write, sync error
}

func (f *failingFile) Write(p []byte) (int, error) {
	if f.write == nil {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	return n, errors.Join(f.write, err)
}

func (f *failingFile) Sync() error { return errors.Join(f.sync, f.File.Sync()) }

func TestFailedAppendLeavesTheJournalAsItWas(t *testing.T) {
	full := errors.New("disk full")
	for name, fail := range map[string]failingFile{"short write": {write: full}, "not on disk": {sync: full}} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "undo.ndjson")
			before, err := OpenJournal(path) // what is continued has lines already
			require.NoError(t, err)
			require.NoError(t, before.Append(Line{ID: "a", Step: StepIntent}))
			require.NoError(t, before.Close())

			f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
			require.NoError(t, err)
			bad := &failingFile{File: f}
			j, err := continueJournal(path, bad)
			require.NoError(t, err)
			bad.write, bad.sync = fail.write, fail.sync
			require.ErrorIs(t, j.Append(Line{ID: "b", Step: StepIntent}), full)
			open, err := ReadJournal(path)
			require.NoError(t, err)
			require.Len(t, open, 1)

			bad.write, bad.sync = nil, nil
			require.NoError(t, j.Append(Line{ID: "c", Step: StepIntent}))
			require.NoError(t, j.Close())
			open, err = ReadJournal(path)
			require.NoError(t, err)
			require.Len(t, open, 2)
			assert.Equal(t, "a", open[0].ID)
			assert.Equal(t, "c", open[1].ID)
		})
	}
}

// Anything but a torn end may hide an intent, and must not be passed over.
func TestDamagedJournalIsAnError(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"rubbish":  {"{\"seq\":0,\"id\":\"a\",\"step\":\"intent\"}\nrubbish\n{\"seq\":2}\n", "line 2: invalid character"},
		"gap":      {"{\"seq\":0,\"id\":\"a\",\"step\":\"intent\"}\n{\"seq\":2}\n", "line 2 has number 2, expected 1: lines are missing"},
		"beheaded": {"{\"seq\":1,\"id\":\"a\",\"step\":\"intent\"}\n", "line 1 has number 1, expected 0: lines are missing"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "undo.ndjson")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			_, err := ReadJournal(path)
			assert.ErrorContains(t, err, c.want)
			_, err = OpenJournal(path)
			assert.ErrorContains(t, err, c.want)
		})
	}
	_, err := ReadJournal(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// The same fault may be injected again after it was reverted.
func TestIntentAfterRevertedIsOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "undo.ndjson")
	j, err := OpenJournal(path)
	require.NoError(t, err)
	for _, s := range []Step{StepIntent, StepInjected, StepReverted, StepIntent} {
		require.NoError(t, j.Append(Line{ID: "a", Step: s}))
	}
	require.NoError(t, j.Close())
	open, err := ReadJournal(path)
	require.NoError(t, err)
	require.Len(t, open, 1)
	assert.Equal(t, uint64(3), open[0].Seq)
}

// What is counted as whole reads the same again, and nothing panics.
func FuzzParseLines(f *testing.F) {
	f.Add([]byte("{\"seq\":0,\"id\":\"a\",\"step\":\"intent\"}\n{\"seq\":1"))
	f.Add([]byte("\n"))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, whole, err := parseLines(data)
		if err != nil {
			return
		}
		require.LessOrEqual(t, whole, len(data))
		again, n, err := parseLines(data[:whole])
		require.NoError(t, err)
		require.Equal(t, whole, n)
		require.Equal(t, lines, again)
	})
}
