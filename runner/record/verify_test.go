package record_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

// Whatever is done to a record afterwards, the line is named.
func TestVerifyNamesWhatWasEdited(t *testing.T) {
	edit := func(n int, from, to string) func([]string) []string {
		return func(lines []string) []string {
			if !strings.Contains(lines[n-1], from) {
				panic("nothing to edit in " + lines[n-1])
			}
			lines[n-1] = strings.Replace(lines[n-1], from, to, 1)
			return lines
		}
	}
	for name, tt := range map[string]struct {
		edit func([]string) []string
		want string
	}{
		"untouched":      {func(l []string) []string { return l }, ""},
		"a note":         {edit(3, "second", "zweite"), "run.ndjson:3: entry 2 was edited"},
		"the header":     {edit(1, `"seed":7`, `"seed":8`), "run.ndjson:1: entry 0 was edited"},
		"its instant":    {edit(4, `"t":`, `"t":1`), "run.ndjson:4: entry 3 was edited"},
		"what it says":   {edit(3, `"prev":"`, `"prev":"0`), "run.ndjson:3: entry 2 was edited"},
		"removed":        {func(l []string) []string { return append(l[:2:2], l[3:]...) }, "run.ndjson:3: entry 3 stands where entry 2 was"},
		"swapped":        {func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }, "run.ndjson:3: entry 3 stands where entry 2 was"},
		"added":          {func(l []string) []string { return append(l[:2:2], append([]string{l[1]}, l[2:]...)...) }, "run.ndjson:3: entry 1 stands where entry 2 was"},
		"not an entry":   {edit(3, "{", "["), "run.ndjson:3: it was edited"},
		"the end is cut": {func(l []string) []string { l[4] = l[4][:10]; return l }, "run.ndjson:5: it was cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			w := create(t)
			for _, text := range []string{"first", "second", "third"} {
				require.NoError(t, w.Append(record.TypeNote, record.Note{Text: text}))
			}
			require.NoError(t, w.Put(record.Ops, record.Operation{Name: "x"}))
			require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
			file := filepath.Join(w.Dir(), "run.ndjson")
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			edited := strings.Join(tt.edit(strings.SplitAfter(string(data), "\n")[:5]), "")
			require.NoError(t, os.WriteFile(file, []byte(edited), 0o600))
			v, err := record.Verify(w.Dir())
			if tt.want == "" {
				require.NoError(t, err)
				assert.Equal(t, 5, v.Entries)
				assert.True(t, v.Ended)
				assert.Len(t, v.Head, 64)
				return
			}
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

// The end holds the other streams as well.
func TestVerifyReadsEveryStream(t *testing.T) {
	w := create(t)
	require.NoError(t, w.Put(record.Ops, record.Operation{Name: "x"}))
	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	file := filepath.Join(w.Dir(), "ops.ndjson")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, bytes.Replace(data, []byte(`"x"`), []byte(`"y"`), 1), 0o600))
	_, err = record.Verify(w.Dir())
	assert.ErrorContains(t, err, "ops.ndjson was edited")
}
