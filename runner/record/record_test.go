package record_test

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

func create(t *testing.T) *record.Writer {
	t.Helper()
	w, err := record.Create(t.TempDir(), record.Header{Scenario: "s", Seed: 7, Started: time.Now()})
	require.NoError(t, err)
	return w
}

func TestRoundTrip(t *testing.T) {
	w := create(t)
	started := w.Started().UnixNano()
	require.NoError(t, w.Append(record.TypePhase, record.Phase{Name: "baseline", Event: "start"}))
	require.NoError(t, w.Put(record.Wire, record.Exchange{At: started + 5, Edge: "a -> b", Status: 200, Sent: true}))
	require.NoError(t, w.Put(record.Ops, record.Operation{At: started + 6, Name: "checkout", ID: "x", Outcome: record.Unknown}))
	require.NoError(t, w.Put(record.Metrics, record.Scrape{At: started, V: []record.Value{{ID: 1, V: record.Float(math.Inf(1))}}}))
	require.NoError(t, w.Put(record.Audit, record.AuditRow{Source: "charges", Key: "x", Effect: 1}))
	require.NoError(t, w.Append(record.TypeFault, record.Fault{ID: "f", State: record.FaultBiting, Receipt: &record.Receipt{Hits: 3, Unit: "requests"}}))
	require.NoError(t, w.Append(record.TypePhase, record.Phase{Name: "baseline", Event: "end"}))
	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))

	r, err := record.Open(w.Dir())
	require.NoError(t, err)
	assert.Empty(t, r.Gaps)
	assert.Equal(t, uint64(7), r.Header.Seed)
	require.NotNil(t, r.End)
	assert.Equal(t, record.EndDone, r.End.Reason)
	require.Len(t, r.Exchanges, 1)
	assert.Equal(t, 5*time.Nanosecond, r.T(r.Exchanges[0].At))
	assert.Equal(t, record.Unknown, r.Operations[0].Outcome)
	assert.True(t, math.IsInf(float64(r.Scrapes[0].V[0].V), 1))
	assert.Equal(t, uint64(3), r.Faults[0].Receipt.Hits)
	span, ok := r.Phase("run")
	require.True(t, ok)
	assert.Positive(t, span.To)
	assert.False(t, span.Open)
}

func TestFollow(t *testing.T) {
	w := create(t)
	r, err := record.Open(w.Dir())
	require.NoError(t, err)
	require.NoError(t, w.Append(record.TypePhase, record.Phase{Name: "fault", Event: "start"}))
	require.NoError(t, r.Refresh())
	require.Len(t, r.Phases, 1)
	assert.True(t, r.Phases[0].Open)
	require.NoError(t, w.Append(record.TypePhase, record.Phase{Name: "fault", Event: "end"}))
	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	require.NoError(t, r.Refresh())
	require.NoError(t, r.Refresh())
	assert.False(t, r.Phases[0].Open)
	assert.NotNil(t, r.End)
	assert.Empty(t, r.Gaps)
	assert.Error(t, w.Append(record.TypeNote, record.Note{Text: "late"}), "nothing is written after the end")
}

func TestTornLineWaitsForItsRest(t *testing.T) {
	w := create(t)
	f, err := os.OpenFile(filepath.Join(w.Dir(), "ops.ndjson"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteString(`{"name":"chec`)
	require.NoError(t, err)
	r, err := record.Open(w.Dir())
	require.NoError(t, err)
	assert.Empty(t, r.Operations)
	_, err = f.WriteString("kout\"}\n")
	require.NoError(t, err)
	require.NoError(t, r.Refresh())
	assert.Equal(t, "checkout", r.Operations[0].Name)
}

func TestLinesOfAnyLengthAreRead(t *testing.T) {
	w := create(t)
	var want []string
	for _, n := range []int{1, 64<<10 - 60, 64 << 10, 1, 10 << 20, 3} { // around the size of what is read at once
		want = append(want, strings.Repeat("x", n))
		require.NoError(t, w.Put(record.Ops, record.Operation{Name: "long", Detail: want[len(want)-1]}))
	}
	r, err := record.Open(w.Dir())
	require.NoError(t, err)
	require.Len(t, r.Operations, len(want))
	for i, o := range r.Operations {
		assert.True(t, o.Detail == want[i], i)
	}
}

// What millions of lines say alike is in memory once; more of it than a few thousand is not looked for.
func TestNamesAreKeptOnce(t *testing.T) {
	w := create(t)
	for i := range 2 {
		require.NoError(t, w.Put(record.Wire, record.Exchange{Edge: "a -> b", Method: "GET", Path: "/x", Op: strconv.Itoa(i), Key: strconv.Itoa(i)}))
	}
	r, err := record.Open(w.Dir())
	require.NoError(t, err)
	x, y := r.Exchanges[0], r.Exchanges[1]
	assert.Equal(t, record.Exchange{Edge: "a -> b", Method: "GET", Path: "/x", Op: "1", Key: "1"}, y)
	for name, same := range map[string][2]string{"edge": {x.Edge, y.Edge}, "method": {x.Method, y.Method}, "path": {x.Path, y.Path}, "key": {x.Op, x.Key}} {
		assert.Same(t, unsafe.StringData(same[0]), unsafe.StringData(same[1]), name)
	}
}

func TestGapsAreSeen(t *testing.T) {
	finish := func(t *testing.T, damage func(w *record.Writer)) *record.Run {
		w := create(t)
		require.NoError(t, w.Append(record.TypeNote, record.Note{Text: "one"}))
		require.NoError(t, w.Put(record.Wire, record.Exchange{Edge: "a -> b"}))
		require.NoError(t, w.Put(record.Wire, record.Exchange{Edge: "a -> b"}))
		damage(w)
		require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
		r, err := record.Open(w.Dir())
		require.NoError(t, err)
		return r
	}
	t.Run("stream truncated", func(t *testing.T) {
		r := finish(t, func(w *record.Writer) {
			require.NoError(t, os.Truncate(filepath.Join(w.Dir(), "wire.ndjson"), 0))
		})
		assert.Equal(t, []string{"stream wire holds 0 lines of 2"}, r.Gaps)
	})
	t.Run("lines given up", func(t *testing.T) {
		r := finish(t, func(w *record.Writer) { w.Lost(record.Wire, 4) })
		assert.Equal(t, []string{"stream wire gave up 4 lines"}, r.Gaps)
	})
	t.Run("an end that promises more than there can be", func(t *testing.T) {
		r := finish(t, func(*record.Writer) {})
		path := filepath.Join(r.Dir, "run.ndjson")
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		text = []byte(strings.Replace(string(text), `"wire":{"lines":2`, `"wire":{"lines":9000000000000000000`, 1))
		require.NoError(t, os.WriteFile(path, text, 0o644))
		r, err = record.Open(r.Dir)
		require.NoError(t, err)
		assert.Equal(t, []string{"stream wire holds 2 lines of 9000000000000000000"}, r.Gaps)
		assert.Less(t, cap(r.Exchanges), 20)
	})
}

func TestMissingEntryIsAGap(t *testing.T) {
	w := create(t)
	require.NoError(t, w.Append(record.TypeNote, record.Note{Text: "one"}))
	require.NoError(t, w.Append(record.TypeNote, record.Note{Text: "two"}))
	require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
	file := filepath.Join(w.Dir(), "run.ndjson")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := splitLines(data)
	require.NoError(t, os.WriteFile(file, append(append(append([]byte{}, lines[0]...), lines[2]...), lines[3]...), 0o644))
	r, err := record.Open(w.Dir())
	require.NoError(t, err)
	assert.NotEmpty(t, r.Gaps)
}

func splitLines(data []byte) (lines [][]byte) {
	start := 0
	for i, b := range data {
		if b == '\n' {
			lines = append(lines, data[start:i+1])
			start = i + 1
		}
	}
	return lines
}

func TestCreateRefusesASecondRun(t *testing.T) {
	w := create(t)
	_, err := record.Create(w.Dir(), record.Header{Started: time.Now()})
	assert.ErrorIs(t, err, os.ErrExist)
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	for name, content := range map[string]string{
		"empty":      "",
		"not JSON":   "hello\n",
		"new format": `{"seq":0,"t":0,"type":"header","data":{"format":99}}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			w := create(t)
			require.NoError(t, os.WriteFile(filepath.Join(w.Dir(), "run.ndjson"), []byte(content), 0o644))
			_, err := record.Open(w.Dir())
			assert.ErrorContains(t, err, w.Dir())
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(`{"seq":0,"t":0,"type":"header","data":{"format":1}}` + "\n" + `{"seq":1,"t":5,"type":"phase","data":{"name":"fault","event":"start"}}` + "\n"))
	f.Add([]byte(`{"seq":0,"t":0,"type":"end","data":{}}` + "\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range []string{"run", "metrics", "wire", "ops", "audit"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, s+".ndjson"), data, 0o644))
		}
		if r, err := record.Open(dir); err == nil {
			require.NoError(t, r.Refresh(), "reading on where nothing came must not fail")
		}
	})
}

// A record may come from somebody else: its header names no files outside of it.
func TestHeaderStaysInItsDirectory(t *testing.T) {
	for name, h := range map[string]record.Header{
		"input": {Input: "../../secret.yaml"}, "system": {Input: "day.yaml", System: "/etc/passwd"},
	} {
		dir := filepath.Join(t.TempDir(), name)
		w, err := record.Create(dir, h)
		require.NoError(t, err)
		require.NoError(t, w.Close(record.End{Reason: record.EndDone}))
		_, err = record.Open(dir)
		assert.ErrorContains(t, err, "is not in the run directory")
	}
}

func TestReceiptInWords(t *testing.T) {
	for want, r := range map[string]record.Receipt{
		"nothing": {}, "1 process": {Hits: 1, Unit: "processes"}, "1 byte": {Hits: 1, Unit: "bytes"}, "2 requests": {Hits: 2, Unit: "requests"}, "0 requests": {Unit: "requests"},
	} {
		assert.Equal(t, want, r.String())
	}
}
