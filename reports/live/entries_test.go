package live_test

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/reports/live"
	"squall/runner/record"
)

func TestEntriesAreFollowedToTheEndAndResumed(t *testing.T) {
	w, dir := writer(t)
	server := httptest.NewServer(live.NewEntries(dir))
	defer server.Close()

	stream, stop := events(t, server.URL, "")
	defer stop()
	assert.Equal(t, "0", next(t, stream, func(event) bool { return true }).id)
	require.NoError(t, w.Append(record.TypeNote, record.Note{Author: "ann", Text: "watch this"}))
	note := next(t, stream, func(e event) bool { return e.id == "1" })
	var entry record.Entry
	require.NoError(t, json.Unmarshal([]byte(note.data), &entry))
	assert.Equal(t, record.TypeNote, entry.Type)

	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	assert.Equal(t, "2", next(t, stream, func(event) bool { return true }).id)
	assert.Equal(t, "end", next(t, stream, func(event) bool { return true }).name)
	_, more := <-stream
	assert.False(t, more, "the server ends the stream")

	again, stop := events(t, server.URL, "1")
	defer stop()
	assert.Equal(t, "2", next(t, again, func(event) bool { return true }).id, "resumed after what was seen")
}

// However much else there is in a record, and whatever state that is in, whoever
// follows a game day is not kept waiting by it.
func TestEntriesReadNothingElse(t *testing.T) {
	w, dir := writer(t)
	defer w.Close(record.End{Reason: record.EndDone})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "wire.ndjson"), []byte("not a line of a record\n"), 0o600))
	server := httptest.NewServer(live.NewEntries(dir))
	defer server.Close()
	stream, stop := events(t, server.URL, "")
	defer stop()
	assert.Equal(t, "0", next(t, stream, func(event) bool { return true }).id)
}
