package deadline_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/sample-system/internal/deadline"
	"squall/sample-system/internal/defect"
)

func request(ctx context.Context, header string) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	if header != "" {
		r.Header.Set(deadline.Header, header)
	}
	return r
}

// TestPassedOn: what a caller has left reaches the callee of its callee, less
// what was used up; with D09 nothing does.
func TestPassedOn(t *testing.T) {
	tests := []struct {
		name, in, out string
		defects       []string
	}{
		{name: "less what was used", in: "250", out: "150"},
		{name: "used up", in: "100", out: "0"},
		{name: "none", in: "", out: ""},
		{name: "too long to mean anything", in: "99999999", out: ""},
		{name: "D09", in: "250", defects: []string{"D09"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel, _ := deadline.From(request(t.Context(), tt.in), defect.Of(tt.defects...))
				defer cancel()
				time.Sleep(100 * time.Millisecond) // the bubble's clock
				header := http.Header{}
				deadline.Inject(ctx, header)
				assert.Equal(t, tt.out, header.Get(deadline.Header))
			})
		})
	}
}

// TestOwnDeadline: a task's own time limit is passed on too, unless D09.
func TestOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for out, defects := range map[string]defect.Set{"300": nil, "": defect.Of("D09")} {
			ctx, cancel := context.WithTimeout(deadline.With(t.Context(), defects), 300*time.Millisecond)
			header := http.Header{}
			deadline.Inject(ctx, header)
			cancel()
			assert.Equal(t, out, header.Get(deadline.Header))
		}
	})
}

// TestWorkEnds with the caller's patience, or when it hangs up; with D09 it goes
// on. That the answer is late is seen either way.
func TestWorkEnds(t *testing.T) {
	for _, tt := range []struct {
		defects []string
		ends    bool
	}{{nil, true}, {[]string{"D09"}, false}} {
		for _, hangsUp := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				r, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				ctx, cancel, caller := deadline.From(request(r, "50"), defect.Of(tt.defects...))
				defer cancel()
				require.False(t, deadline.Expired(ctx))
				require.False(t, caller.Gone())
				if hangsUp {
					hangUp()
				} else {
					time.Sleep(50 * time.Millisecond) // the bubble's clock
				}
				synctest.Wait()
				assert.Equal(t, tt.ends, ctx.Err() != nil)
				assert.Equal(t, tt.ends, deadline.Expired(ctx))
				assert.True(t, caller.Gone())
			})
		}
	}
}

func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"0", "250", "-1", "1e3", "99999999999999999999", "3600000", "3600001", " 5"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, v string) {
		ctx, cancel, _ := deadline.From(request(context.Background(), v), nil)
		defer cancel()
		at, ok := ctx.Deadline()
		if !ok {
			return
		}
		_, err := strconv.Atoi(v)
		require.NoError(t, err)
		require.LessOrEqual(t, time.Until(at), time.Hour)
	})
}
