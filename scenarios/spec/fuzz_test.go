package spec

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// seed adds the corpus, good and bad.
func seed(f *testing.F, pattern string) {
	files, err := filepath.Glob(pattern)
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, file := range files {
		src, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(src)
	}
}

// wellPlaced holds problems to what every printer relies on.
func wellPlaced(t *testing.T, ps Problems, src []byte) {
	t.Helper()
	for _, p := range ps {
		assert.NotEmpty(t, p.Msg)
		assert.Equal(t, "fuzz.yaml", p.File)
	}
	require.NoError(t, ps.Format(io.Discard, func(string) ([]byte, error) { return src, nil }))
}

// Whatever is read, parsing ends, every problem has its file, and what had no
// problem can be printed as JSON and decoded further.
func FuzzParse(f *testing.F) {
	seed(f, "testdata/*/*psp-slow.yaml")
	seed(f, "testdata/bad/scenario-*.yaml")
	f.Fuzz(func(t *testing.T, src []byte) {
		s, ps := Parse("fuzz.yaml", src)
		wellPlaced(t, ps, src)
		if len(ps) > 0 {
			return
		}
		require.NotEmpty(t, s.Spec.Expect)
		for _, fault := range s.Spec.Faults {
			var p latency
			wellPlaced(t, AsProblems(fault.Params.Decode(&p), fault.Pos), src)
		}
		out, err := json.Marshal(s)
		require.NoError(t, err)
		require.True(t, json.Valid(out))
	})
}

func FuzzParseSystem(f *testing.F) {
	seed(f, "testdata/good/system.yaml")
	seed(f, "testdata/bad/system-*.yaml")
	f.Add([]byte(variants))
	f.Add([]byte(withDefaults))
	f.Fuzz(func(t *testing.T, src []byte) {
		s, ps := ParseSystem("fuzz.yaml", src)
		wellPlaced(t, ps, src)
		if len(ps) > 0 {
			if s != nil {
				_, ps = s.With()
				wellPlaced(t, ps, src)
			}
			return
		}
		for _, e := range s.Spec.Edges {
			caller, callee, err := SplitEdge(e.Name())
			require.NoError(t, err)
			assert.Equal(t, []string{e.Caller, e.Callee}, []string{caller, callee})
		}
		for _, sw := range append(sorted(s.Spec.Switches), "") {
			var chosen []Choice
			if sw != "" {
				chosen = []Choice{{Name: sw}}
			}
			out, ps := s.With(chosen...)
			require.Empty(t, ps)
			for _, e := range out.Spec.Edges {
				assert.True(t, e.Caller == Client || len(out.Instances(e.Caller)) == 1, "every end is an instance: %s", e.Name())
				assert.Len(t, out.Instances(e.Callee), 1, e.Name())
			}
		}
	})
}

func FuzzOpenSLO(f *testing.F) {
	seed(f, "testdata/good/slo/*.yaml")
	seed(f, "testdata/bad/slo/*.yaml")
	f.Fuzz(func(t *testing.T, src []byte) {
		docs, ps := openSLODocuments("fuzz.yaml", src)
		wellPlaced(t, ps, src)
		l := newSLOLoader()
		for _, doc := range docs {
			l.document(doc)
		}
		l.finish()
		wellPlaced(t, l.problems, src)
		if len(l.problems) > 0 {
			return
		}
		for _, slo := range l.slos {
			assert.NotEmpty(t, slo.Total, slo.Name)
			assert.NotEqual(t, slo.Good == "", slo.Bad == "", "one of the two")
			assert.True(t, slo.Target > 0 && slo.Target < 1, slo.Target)
		}
	})
}
