package disk

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// Without a rule it is an ordinary folder.
func TestPassesThrough(t *testing.T) {
	s := serve(t)
	require.NoError(t, os.MkdirAll(s.path("a/b"), 0o750))
	require.NoError(t, os.WriteFile(s.path("a/b/c"), []byte("hello"), 0o600))
	require.NoError(t, os.Rename(s.path("a/b/c"), s.path("a/d")))
	require.NoError(t, os.Symlink("d", s.path("a/l")))
	require.NoError(t, os.Link(s.path("a/d"), s.path("a/e")))
	text, err := os.ReadFile(s.path("a/l"))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(text))
	info, err := os.Stat(s.path("a/d"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.EqualValues(t, 2, info.Sys().(*syscall.Stat_t).Nlink)
	behind, err := os.ReadFile(filepath.Join(s.backing, "a/e"))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(behind))

	f, err := os.OpenFile(s.path("a/d"), os.O_RDWR|os.O_APPEND, 0)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Remove(s.path("a/d")), "open files outlive their names")
	_, err = f.WriteString(" world")
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Truncate(7))
	text, err = os.ReadFile(s.path("a/e"))
	require.NoError(t, err)
	assert.Equal(t, "hello w", string(text))
	_, err = os.Stat(s.path("a/d"))
	require.ErrorIs(t, err, os.ErrNotExist)

	require.NoError(t, os.Chmod(s.path("a/e"), 0o640))
	require.NoError(t, os.Chown(s.path("a/e"), 65534, 65534))
	require.NoError(t, os.RemoveAll(s.path("a")))
	entries, err := os.ReadDir(s.mount)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

func TestFull(t *testing.T) {
	s := serve(t)
	require.NoError(t, os.WriteFile(s.path("old"), []byte("0123456789"), 0o600))
	old, err := os.OpenFile(s.path("old"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer old.Close()
	s.put(faults.DiskRule{Full: true})

	_, err = old.WriteAt([]byte("xx"), 3)
	require.NoError(t, err, "in place")
	require.NoError(t, os.WriteFile(s.path("empty"), nil, 0o600))
	require.NoError(t, os.Remove(s.path("empty")))
	for i, refused := range []func() error{
		func() error { _, err := old.WriteAt([]byte("x"), 10); return err },
		func() error { return os.WriteFile(s.path("new"), []byte("x"), 0o600) },
		func() error { return os.Mkdir(s.path("dir"), 0o700) },
		func() error { return syscall.Fallocate(int(old.Fd()), 0, 0, 100) },
	} {
		require.ErrorIs(t, refused(), syscall.ENOSPC, "%d", i)
	}
	var st syscall.Statfs_t
	require.NoError(t, syscall.Statfs(s.mount, &st))
	assert.Zero(t, st.Bavail)

	r := s.drop()
	assert.EqualValues(t, 4, r.Hits)
	assert.Equal(t, "operations", r.Unit)
	assert.False(t, r.First.IsZero() || r.Last.Before(r.First))
	_, err = old.WriteAt([]byte("x"), 10)
	require.NoError(t, err)
	text, err := os.ReadFile(s.path("old"))
	require.NoError(t, err)
	assert.Equal(t, "012xx56789x", string(text))
}

func TestSlow(t *testing.T) {
	s := serve(t)
	const delay = 250 * time.Millisecond
	f, err := os.Create(s.path("f"))
	require.NoError(t, err)
	defer f.Close()
	op := map[faults.DiskOperation]func() error{
		faults.DiskWrite: func() error { _, err := f.WriteAt([]byte("x"), 0); return err },
		faults.DiskSync:  f.Sync,
	}
	for slow, do := range op {
		s.put(faults.DiskRule{Delay: time.Hour, Operations: []faults.DiskOperation{slow}})
		for other, do := range op {
			if other != slow {
				require.NoError(t, do(), "%s, while %s takes an hour", other, slow)
			}
		}
		assert.Zero(t, s.drop().Hits, slow)
		s.put(faults.DiskRule{Delay: delay, Operations: []faults.DiskOperation{slow}})
		begun := time.Now()
		require.NoError(t, do())
		assert.GreaterOrEqual(t, time.Since(begun), delay, slow)
		r := s.drop()
		assert.EqualValues(t, 1, r.Hits, slow)
		assert.Contains(t, r.Note, "delayed by ")
	}
	s.put(faults.DiskRule{Delay: delay})
	begun := time.Now()
	_, err = os.ReadFile(s.path("f")) // opening it forgets what the kernel knows
	require.NoError(t, err)
	assert.GreaterOrEqual(t, time.Since(begun), delay)
	assert.NotZero(t, s.drop().Hits)
}

// What waits goes on as soon as the rule goes.
func TestRemovalReleases(t *testing.T) {
	s := serve(t)
	s.put(faults.DiskRule{Delay: time.Hour})
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		all.Go(func() { assert.NoError(t, os.WriteFile(s.path(name), []byte("x"), 0o600)) })
	}
	require.Eventually(t, func() bool {
		e, err := s.Status(t.Context(), "v", "f")
		return err == nil && e.Receipt.Hits == 3
	}, 10*time.Second, time.Millisecond)
	s.drop()
	all.Wait()
}

// The delays of a rule follow its seed and spread evenly over the jitter.
func TestDraw(t *testing.T) {
	draw := func(seed uint64) (out []time.Duration) {
		x := &rule{DiskRule: faults.DiskRule{Delay: 100, Jitter: 40}, seed: seed}
		for range 2000 {
			delay, hit := x.take()
			require.True(t, hit)
			out = append(out, delay)
		}
		return out
	}
	all := draw(1)
	assert.Equal(t, all, draw(1))
	assert.NotEqual(t, all, draw(2))
	buckets := make([]int, 4)
	for _, d := range all {
		require.True(t, d >= 60 && d <= 140, "%d", d)
		buckets[min(3, (d-60)/20)]++
	}
	for _, n := range buckets {
		assert.InDelta(t, 500, n, 100)
	}
}

// Which operations are hit follows seed and number, and nothing else.
func TestChosenOperations(t *testing.T) {
	for name, c := range map[string]struct {
		rule faults.DiskRule
		want []string // numbers of those that find no room, of twelve
	}{
		"first":       {faults.DiskRule{Match: faults.Match{First: 2}}, []string{"1", "2"}},
		"every":       {faults.DiskRule{Match: faults.Match{Every: 5}}, []string{"5", "10"}},
		"from":        {faults.DiskRule{Match: faults.Match{From: 11}}, []string{"11", "12"}},
		"from, first": {faults.DiskRule{Match: faults.Match{From: 4, First: 1}}, []string{"4"}},
		"cap":         {faults.DiskRule{Match: faults.Match{Every: 2}, Cap: 3}, []string{"2", "4", "6"}},
		"probability": {faults.DiskRule{Match: faults.Match{Probability: 0.2}}, []string{"6", "7", "12"}},
	} {
		t.Run(name, func(t *testing.T) {
			for run := range 2 {
				s := serve(t)
				c.rule.Full = true
				s.put(c.rule)
				var got, items []string
				for i := range 12 {
					err := os.Mkdir(s.path(strconv.Itoa(i)), 0o700)
					if err != nil {
						require.ErrorIs(t, err, syscall.ENOSPC)
						got = append(got, strconv.Itoa(i+1))
						items = append(items, "operation "+strconv.Itoa(i+1))
					}
				}
				var st syscall.Statfs_t
				require.NoError(t, syscall.Statfs(s.mount, &st))
				assert.NotZero(t, st.Bavail, "the disk is not full, it only refuses some")
				r := s.drop()
				assert.Equal(t, c.want, got, "run %d", run)
				assert.Equal(t, items, r.Items, "the receipt lists them")
				assert.EqualValues(t, len(got), r.Hits)
			}
		})
	}
}

func TestChosenDelays(t *testing.T) {
	s := serve(t)
	f, err := os.Create(s.path("f"))
	require.NoError(t, err)
	defer f.Close()
	const delay = 300 * time.Millisecond
	s.put(faults.DiskRule{Delay: delay, Operations: []faults.DiskOperation{faults.DiskWrite}, Match: faults.Match{Every: 2}})
	for i := range 4 {
		begun := time.Now()
		_, err := f.WriteAt([]byte("x"), 0)
		require.NoError(t, err)
		require.Equal(t, i%2 == 1, time.Since(begun) >= delay, "%d", i)
		require.NoError(t, f.Sync(), "not counted")
	}
	assert.Equal(t, []string{"operation 2", "operation 4"}, s.drop().Items)
}

// A delay grows in size, a lack of room in frequency.
func TestRamp(t *testing.T) {
	half := func() time.Time { return time.Now().Add(-time.Hour) }
	slow := &rule{DiskRule: faults.DiskRule{Delay: time.Second, Ramp: 2 * time.Hour}, since: half()}
	delay, hit := slow.take()
	assert.True(t, hit)
	assert.InDelta(t, time.Second/2, delay, float64(time.Millisecond))
	full := &rule{DiskRule: faults.DiskRule{Full: true, Ramp: 2 * time.Hour}, since: half()}
	for range 1000 {
		full.take()
	}
	assert.InDelta(t, 500, full.receipt.Hits, 60)
}

func TestBelongs(t *testing.T) {
	t.Setenv(InstanceVariable, "set after the start, which the kernel does not tell")
	assert.False(t, belongs(os.Getpid(), "work-1"))
	assert.False(t, belongs(0, "work-1"), "the kernel")
	assert.Equal(t, os.Getppid(), parentOf(os.Getpid()))
}

func TestAPIRefuses(t *testing.T) {
	s := serve(t)
	s.put(faults.DiskRule{Full: true})
	assert.EqualError(t, s.Put(t.Context(), "v", "f", faults.DiskRule{Full: true}, 1), `rule "f" is there already`)
	ids, err := s.Rules(t.Context(), "v")
	require.NoError(t, err)
	assert.Equal(t, []string{"f"}, ids)
	assert.EqualError(t, s.Put(t.Context(), "w", "f", faults.DiskRule{Full: true}, 1), `no volume "w"`)
	s.drop()
	for _, args := range [][]string{nil, {"a"}, {"a", "b", "c", "d"}} {
		_, err := ParseVolumes(args)
		assert.ErrorContains(t, err, "want NAME BACKING MOUNT")
	}
}
