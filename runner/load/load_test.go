package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"squall/runner/record"
)

// The test binary plays the generator if the environment says so.
const roleVar = "LOAD_TEST_ROLE"

// roles are what else the test binary can be.
var roles = map[string]func(){
	"flow": func() { // as k6 does: streams, ends by SIGINT
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGINT)
		say(line{Op: &record.Operation{ID: "1", Name: "env", Outcome: record.OK, Detail: strings.Join(os.Environ(), "\n")}})
		say(line{Op: &record.Operation{ID: "2", Name: "args", Outcome: record.Unknown, Detail: strings.Join(os.Args[1:], " ")}})
		say(flowing)
		<-stop
		say(line{Scrape: &record.Scrape{At: 2, Source: "k6", Up: true}, Dropped: 3})
		os.Exit(stoppedCode)
	},
	"deaf": func() {
		signal.Ignore(syscall.SIGINT)
		say(flowing)
		fmt.Fprintln(os.Stderr, "not listening")
		<-time.After(time.Hour) // a bare select ends as a deadlock where there is no cgo
	},
	"bad": func() {
		signal.Ignore(syscall.SIGINT)
		fmt.Fprintln(os.NewFile(3, "stream"), `{"scrape":7}`)
		<-time.After(time.Hour) // a bare select ends as a deadlock where there is no cgo
	},
	"early": func() { // SIGINT before its handler is there
		say(flowing)
		<-time.After(time.Hour) // a bare select ends as a deadlock where there is no cgo
	},
	"exit0": func() { say(flowing) },
	"exit99": func() {
		fmt.Fprintln(os.Stderr, strings.Repeat("noise ", tailBytes))
		fmt.Fprintln(os.Stderr, "p99 crossed")
		os.Exit(99)
	},
	"exit107": func() {
		fmt.Fprintln(os.Stderr, "ReferenceError: x is not defined")
		os.Exit(107)
	},
}

var flowing = line{Scrape: &record.Scrape{At: 1, Source: "k6", Up: true, H: []record.HistValue{{ID: 1, Schema: 5, Count: 1}}}}

func say(l line) {
	if err := json.NewEncoder(os.NewFile(3, "stream")).Encode(l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestMain(m *testing.M) {
	if role := roles[os.Getenv(roleVar)]; role != nil {
		role()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// memory is a sink that keeps everything.
type memory struct {
	mu      sync.Mutex
	scrapes []record.Scrape
	ops     []record.Operation
	lost    uint64
	refuse  error
}

func (m *memory) Scrape(s record.Scrape) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.scrapes = append(m.scrapes, s)
	return m.refuse
}

func (m *memory) Operation(o record.Operation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ops = append(m.ops, o)
	return nil
}

func (m *memory) Lost(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost += n
}

const patience = 20 * time.Second

// start starts this binary in a role. It is ended with the test, whatever happens.
func start(t *testing.T, role string, sink Sink) *Process {
	t.Helper()
	p, err := Start(Config{
		Binary: os.Args[0], Script: "shop.js", Env: map[string]string{roleVar: role, "SQUALL_SEED": "of the user"},
		Arrival: 12.5, Duration: 90 * time.Second, Seed: 7, Grace: 100 * time.Millisecond,
	}, sink)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.Done()
	})
	return p
}

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		require.Fail(t, "timeout: "+what)
	}
}

func TestStreamAndStop(t *testing.T) {
	t.Setenv("K6_VUS", "999") // of this machine, not of the run
	sink := &memory{}
	p, err := Start(Config{
		Binary: os.Args[0], Script: "shop.js", Env: map[string]string{roleVar: "flow", "GATEWAY_URL": "x", "SQUALL_SEED": "of the user"},
		Arrival: 12.5, Duration: 90 * time.Second, Seed: 7,
		Stages: []record.Stage{{At: 10 * time.Second, Arrival: 20}, {At: 12 * time.Second, Arrival: 12.5}},
	}, sink)
	require.NoError(t, err)
	wait(t, "flowing", p.Flowing())
	code, err := p.Stop(t.Context())
	require.NoError(t, err)
	assert.Equal(t, stoppedCode, code)
	wait(t, "done", p.Done())
	require.NoError(t, p.Err())

	require.Len(t, sink.scrapes, 2, "what was said after SIGINT arrives too")
	assert.Equal(t, *flowing.Scrape, sink.scrapes[0])
	assert.Equal(t, uint64(3), sink.lost)
	require.Len(t, sink.ops, 2)
	assert.Equal(t, record.Unknown, sink.ops[1].Outcome)
	env := strings.Split(sink.ops[0].Detail, "\n")
	assert.Subset(t, env, []string{"GATEWAY_URL=x", "SQUALL_ARRIVAL=12.5", "SQUALL_DURATION=90000ms", "SQUALL_SEED=7",
		"SQUALL_PEAK=20", `SQUALL_STAGES=[{"target":750,"duration":"0s"},{"target":750,"duration":"10000ms"},` +
			`{"target":1200,"duration":"0s"},{"target":1200,"duration":"2000ms"},{"target":750,"duration":"0s"},{"target":750,"duration":"78000ms"}]`})
	assert.NotContains(t, sink.ops[0].Detail, "K6_VUS")
	assert.NotContains(t, sink.ops[0].Detail, "of the user")
	assert.Contains(t, sink.ops[1].Detail, "--out squall=fd:3 shop.js")
}

func TestStopTwice(t *testing.T) {
	p := start(t, "early", &memory{})
	wait(t, "flowing", p.Flowing())
	for range 2 {
		code, err := p.Stop(t.Context())
		require.NoError(t, err, "ended by our SIGINT, if not by its handler")
		assert.Equal(t, -1, code)
	}
}

func TestEndedByItself(t *testing.T) {
	for role, want := range map[string]struct {
		code int
		err  []string
	}{
		"exit0":   {0, []string{"ended by itself", "exit status 0"}},
		"exit99":  {99, []string{"ended by itself", "thresholds failed", "noise", "p99 crossed"}},
		"exit107": {107, []string{"ended by itself", "the script threw an exception", "ReferenceError: x is not defined"}},
	} {
		t.Run(role, func(t *testing.T) {
			p := start(t, role, &memory{})
			wait(t, "done", p.Done())
			code, err := p.Stop(t.Context())
			assert.Equal(t, want.code, code)
			for _, text := range want.err {
				assert.ErrorContains(t, err, text)
			}
			assert.Equal(t, err, p.Err())
			assert.Less(t, len(err.Error()), tailBytes+200, "only the end of what it printed")
		})
	}
}

func TestDeafGeneratorIsKilled(t *testing.T) {
	sooner, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"after the grace": t.Context(), "with the context": sooner} {
		t.Run(name, func(t *testing.T) {
			p := start(t, "deaf", &memory{})
			wait(t, "flowing", p.Flowing())
			code, err := p.Stop(ctx)
			assert.Equal(t, -1, code)
			assert.ErrorContains(t, err, "killed")
		})
	}
}

func TestBadLineEndsTheGenerator(t *testing.T) {
	p := start(t, "bad", &memory{})
	wait(t, "done", p.Done())
	assert.ErrorContains(t, p.Err(), "stream of k6: line")
	assert.ErrorContains(t, p.Err(), `{\"scrape\":7}`)
	select {
	case <-p.Flowing():
		assert.Fail(t, "nothing was measured")
	default:
	}
}

func TestFullDiskEndsTheGenerator(t *testing.T) {
	full := errors.New("no space")
	p := start(t, "deaf", &memory{refuse: full})
	wait(t, "done", p.Done())
	assert.ErrorIs(t, p.Err(), full)
}

func TestNoSuchBinary(t *testing.T) {
	_, err := Start(Config{Binary: t.TempDir() + "/k6"}, &memory{})
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func FuzzLine(f *testing.F) {
	for _, seed := range []string{
		`{"scrape":{"at":1,"source":"k6","up":true,"new":[{"id":1,"l":{"__name__":"x"},"type":"histogram"}],"h":[{"id":1,"schema":5,"n":1,"sum":0.1,"pos":[[-106,1]]}]}}`,
		`{"op":{"at":1,"dur":2,"name":"a","id":"b","outcome":"unknown","detail":"c"}}`,
		`{"dropped":3}`, `{"scrape":7}`, `{}`, `null`, ``, `{"scrape":{"v":[{"id":1,"v":"NaN"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := parseLine(raw)
		if err != nil {
			return
		}
		sink := &memory{}
		require.NoError(t, l.passOn(sink))
		assert.Equal(t, l.Scrape != nil, len(sink.scrapes) == 1)
		assert.Equal(t, l.Op != nil, len(sink.ops) == 1)
		assert.Equal(t, l.Dropped, sink.lost)
	})
}
