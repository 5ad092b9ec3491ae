package inject

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/faults"
	"squall/runner/record"
	"squall/runner/targets/process"
)

// stormLease is how long the faults of a killed runner may outlive it.
const stormLease = 400 * time.Millisecond

// stormOrder tells a copy of this test binary where to inject faults until it is killed.
type stormOrder struct {
	Own     bool // in a system of its own, else in that of the locator
	Locator json.RawMessage
	Dir     string // of its run
	First   string // the kind that it begins with
	Seed    uint64
}

// TestCrashes kills runners with SIGKILL at random points (make crash-test: 200
// of them; CRASH_N, CRASH_SEED). Most run in a system that outlives them: there
// the world must equal its snapshot within the lease, without anybody's help, and
// still after healing. Every tenth has a system of its own, which must end with it.
func TestCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for leases")
	}
	n, seed := fromEnv(t, "CRASH_N", 6), fromEnv(t, "CRASH_SEED", int(time.Now().UnixNano()%1e6))
	t.Logf("%d runners, seed %d: CRASH_N=%[1]d CRASH_SEED=%[2]d", n, seed)
	chance := rand.New(rand.NewPCG(uint64(seed), 0))
	kinds := able()
	chance.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	l := newLab(t)
	var c crashes
	for i := range n {
		o := stormOrder{Locator: l.env.Locator(), Dir: t.TempDir(), First: kinds[i%len(kinds)], Seed: chance.Uint64()}
		after := time.Duration(chance.Int64N(int64(150 * time.Millisecond)))
		if i%10 == 5 {
			o.Own, after = true, after*10
			storm(t, o, after)
			c.endsWithItsRunner(t, o)
		} else {
			storm(t, o, after)
			c.heals(t, l, o)
		}
		if t.Failed() {
			t.Fatalf("runner %d: seed %d, began with %s, killed after %s", i, o.Seed, o.First, after)
		}
	}
	t.Logf("%d of %d worlds equal their snapshot; %d were not when the runner died; longest life of a fault after its runner: %s; open by kind: %v", c.equal, n, c.broken, c.longest, c.open)
	assert.Equal(t, n, c.equal)
}

// crashes is what became of the worlds.
type crashes struct {
	equal, broken int
	longest       time.Duration
	open          map[string]int // kinds that stood or may have stood
}

func (c *crashes) heals(t *testing.T, l *lab, o stormOrder) {
	died := time.Now()
	diff, err := l.changed(t.Context())
	require.NoError(t, err)
	c.broken += count(diff != "")
	whole := func() bool {
		diff, err = l.changed(t.Context())
		return err == nil && diff == ""
	}
	wasWhole := diff == ""
	// The lease is renewed at most at the last breath; undoing and looking take their time.
	if !assert.True(t, until(t.Context(), stormLease+5*time.Second, whole), "held by nobody's lease: %s", diff) {
		return
	}
	if !wasWhole {
		c.longest = max(c.longest, time.Since(died))
	}
	c.heal(t, o)
	if assert.NoError(t, l.same(t.Context())) {
		c.equal++
	}
}

// endsWithItsRunner requires that nothing of a system is left.
func (c *crashes) endsWithItsRunner(t *testing.T, o stormOrder) {
	var left []string
	gone := func() bool {
		left, _ = filepath.Glob(filepath.Join(o.Dir, "state", "environments", "*"))
		left = append(left, running(o.Dir)...)
		if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), o.Dir) {
			left = append(left, "a mount")
		}
		return len(left) == 0
	}
	if assert.True(t, until(t.Context(), stormLease+10*time.Second, gone), "outlived its runner: %q", left) {
		c.equal++
	}
	c.heal(t, o)
}

// running are the processes that were started by one runner: they inherit its
// home.
func running(home string) (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range all {
		if env, err := os.ReadFile(file); err == nil && strings.Contains("\x00"+string(env), "\x00HOME="+home+"\x00") {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

// heal reverts what the journal leaves open, twice.
func (c *crashes) heal(t *testing.T, o stormOrder) {
	journal := filepath.Join(o.Dir, "undo.ndjson")
	if _, err := os.Stat(journal); err != nil {
		return // killed before it had one
	}
	open, err := ReadJournal(journal)
	require.NoError(t, err)
	for _, line := range open {
		if c.open == nil {
			c.open = map[string]int{}
		}
		c.open[line.Kind]++
	}
	for range 2 {
		require.NoError(t, Heal(t.Context(), journal, faults.Builtin(), func(on string, locator json.RawMessage) (faults.Target, error) {
			return attached(t.Context(), on, locator)
		}, func(string) {}))
	}
	open, err = ReadJournal(journal)
	require.NoError(t, err)
	assert.Empty(t, open)
}

// storm runs a runner and kills it so long after it is about to begin.
func storm(t *testing.T, o stormOrder, after time.Duration) {
	t.Helper()
	text, err := json.Marshal(o)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "storm", string(text))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr, cmd.Env = os.Stderr, append(os.Environ(), "HOME="+o.Dir)
	require.NoError(t, cmd.Start())
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "begin\n", first)
	pause(t.Context(), after)
	require.NoError(t, cmd.Process.Kill())
	rest, _ := lines.ReadString('\n')
	require.Error(t, cmd.Wait())
	require.Empty(t, rest, "it ended before it was killed")
}

// able are the kinds that this machine can do, in order.
func able() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(entries)), func(name string) bool { return entries[name].cannot() != "" })
}

func fromEnv(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text, set := os.LookupEnv(name)
	if !set || text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// roleStorm is a runner that injects and reverts faults of any kind, up to three
// at a time, and renews its leases, until it is killed.
func roleStorm(args []string) error {
	var o stormOrder
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	err := o.run(context.Background())
	fmt.Println(err)
	return err
}

func (o stormOrder) run(ctx context.Context) error {
	sys, err := labFile(os.TempDir())
	if err != nil {
		return err
	}
	begin := func() { fmt.Println("begin") }
	if o.Own {
		begin() // it may be killed while it boots
		begin = func() {}
		env := process.New(labConfig(sys, o.Dir, "storm", stormLease))
		if err := env.Up(ctx); err != nil {
			return err
		}
		o.Locator = env.Locator()
	}
	env, err := process.Attach(ctx, o.Locator)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() {
		for range time.Tick(stormLease / 3) {
			if err := env.Renew(ctx, "storm", stormLease); err != nil {
				failed <- err
			}
		}
	}()
	j, err := OpenJournal(filepath.Join(o.Dir, "undo.ndjson"))
	if err != nil {
		return err
	}
	in := &Injector{
		Registry: faults.Builtin(), Journal: j, Owner: "storm", Lease: stormLease, Locator: func() json.RawMessage { return o.Locator },
		Find: env.Target, Report: func(record.Fault) {},
	}
	begin()
	go func() { failed <- in.storm(ctx, o) }()
	return <-failed
}

// storm ends only by an error of reverting: what cannot stand beside another
// fault is refused, and that is fine. A fault that needs what another has taken
// away, such as a broker, to be undone is undone with that other.
func (in *Injector) storm(ctx context.Context, o stormOrder) error {
	chance := rand.New(rand.NewPCG(o.Seed, 1))
	kinds := able()
	sys, err := labFile(os.TempDir())
	if err != nil {
		return err
	}
	var standing []string
	next := o.First
	for n := 0; ; n++ {
		if len(standing) < 3 && chance.IntN(3) > 0 || len(standing) == 0 {
			s, err := entries[next].resolve(sys, fmt.Sprintf("%s-%d", next, n))
			if err != nil {
				return err
			}
			if in.Start(ctx, s) == nil {
				standing = append(standing, s.ID)
			}
			next = kinds[chance.IntN(len(kinds))]
			continue
		}
		i := chance.IntN(len(standing))
		alone, cancel := context.WithTimeout(ctx, time.Second)
		err := in.Stop(alone, standing[i])
		cancel()
		if standing = slices.Delete(standing, i, i+1); err != nil {
			if err := in.StopAll(ctx); err != nil {
				return err
			}
			standing = nil
		}
	}
}
