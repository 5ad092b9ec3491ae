package record

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	errFull  = errors.New("disk full")
	errStuck = errors.New("disk stuck")
)

// badFile writes half of what it is given, or does not sync, or does not truncate.
type badFile struct {
	*os.File
	half, unsynced, stuck bool
}

func (f *badFile) Write(p []byte) (int, error) {
	if !f.half {
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	return n, errors.Join(errFull, err)
}

func (f *badFile) Sync() error {
	if f.unsynced {
		return errFull
	}
	return f.File.Sync()
}

func (f *badFile) Truncate(size int64) error {
	if f.stuck {
		return errStuck
	}
	return f.File.Truncate(size)
}

func TestALineFollowsAWholeOne(t *testing.T) {
	for name, c := range map[string]struct {
		durable bool
		fail    badFile
	}{
		"short write":         {false, badFile{half: true}},
		"short durable write": {true, badFile{half: true}},
		"not on disk":         {true, badFile{unsynced: true}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "lines")
			require.NoError(t, os.WriteFile(path, []byte("old\n"), 0o600))
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			require.NoError(t, err)
			bad := &badFile{File: f}
			l := NewLineFile(bad, 4, c.durable)
			holds := func(want string) {
				t.Helper()
				data, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.Equal(t, want, string(data))
			}
			require.NoError(t, l.Append([]byte("first")))

			bad.half, bad.unsynced = c.fail.half, c.fail.unsynced
			assert.ErrorIs(t, l.Append([]byte("lost")), errFull)
			holds("old\nfirst\n")

			bad.stuck = true
			err = l.Append([]byte("lost"))
			assert.ErrorIs(t, err, errFull)
			assert.ErrorIs(t, err, errStuck)
			bad.half, bad.unsynced = false, false
			assert.ErrorIs(t, l.Append([]byte("refused")), errStuck, "it would follow half a line")

			bad.stuck = false
			require.NoError(t, l.Append([]byte("second")))
			holds("old\nfirst\nsecond\n")
			require.NoError(t, l.Close())
		})
	}
}

func TestFailedWriteIsAGapAndTheRecordStaysReadable(t *testing.T) {
	for _, s := range []Stream{Main, Ops} {
		t.Run(string(s), func(t *testing.T) {
			w, err := Create(t.TempDir(), Header{Started: time.Now()})
			require.NoError(t, err)
			put := func(text string) error {
				if s == Main {
					return w.Append(TypeNote, Note{Text: text})
				}
				return w.Put(s, Operation{Name: text})
			}
			require.NoError(t, put("first"))
			bad := &badFile{File: w.files[s].file.(*os.File), half: true}
			w.files[s].file = bad
			require.ErrorIs(t, put("lost"), errFull)
			bad.half = false
			require.NoError(t, put("second"))
			require.NoError(t, put("third"))
			assert.ErrorIs(t, w.Close(End{Reason: EndDone}), errFull)

			r, err := Open(w.Dir())
			require.NoError(t, err)
			var got []string
			for _, n := range r.Notes {
				got = append(got, n.Text)
			}
			for _, o := range r.Operations {
				got = append(got, o.Name)
			}
			assert.Equal(t, "first second third", strings.Join(got, " "))
			want := map[Stream]string{Main: "entry 3 follows entry 1", Ops: "stream ops gave up 1 lines"}
			assert.Equal(t, []string{want[s]}, r.Gaps)
		})
	}
}
