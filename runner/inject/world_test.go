package inject

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"squall/faults"
)

// world is a target of every capability that lives in a file, so that what one
// process did to it another can see and undo. A deaf world ignores stages and
// signals; a gone one does not exist any more.
type world struct {
	name  string // "a -> b" if empty
	path  string
	url   string // of a broker
	deaf  bool
	gone  atomic.Bool
	quiet bool // nothing passes the link, so no stage ever has a hit
}

type worldState struct {
	Stages map[string]faults.Stage
	PID    faults.ProcessID
	State  string
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := &world{path: t.TempDir() + "/world.json", url: url}
	w.save(worldState{Stages: map[string]faults.Stage{}, PID: faults.ProcessID{PID: 42, Start: 1}, State: "running"})
	return w
}

func (w *world) load() (s worldState) {
	data, err := os.ReadFile(w.path)
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		panic(err)
	}
	return s
}

func (w *world) save(s worldState) {
	data, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(w.path+".new", data, 0o600)
	}
	if err == nil {
		err = os.Rename(w.path+".new", w.path)
	}
	if err != nil {
		panic(err)
	}
}

func (w *world) Name() string { return cmp.Or(w.name, "a -> b") }
func (w *world) URL() string  { return w.url }

func (w *world) PutStage(_ context.Context, id string, st faults.Stage) error {
	if !w.deaf {
		s := w.load()
		s.Stages[id] = st
		w.save(s)
	}
	return nil
}

func (w *world) DeleteStage(_ context.Context, id string) error {
	if w.gone.Load() {
		return faults.ErrGone
	}
	s := w.load()
	delete(s.Stages, id)
	w.save(s)
	return nil
}

func (w *world) StageStatus(_ context.Context, id string) (faults.StageStatus, error) {
	if w.gone.Load() {
		return faults.StageStatus{}, faults.ErrGone
	}
	st, ok := w.load().Stages[id]
	if !ok {
		return faults.StageStatus{}, faults.ErrNoStage
	}
	r := faults.Receipt{Hits: 5, Unit: "requests"}
	if w.quiet {
		r.Hits = 0
	}
	return faults.StageStatus{ID: id, Stage: st, Receipt: r}, nil
}

func (w *world) Identity(context.Context) (faults.ProcessID, error) {
	s := w.load()
	if s.State == "dead" {
		return faults.ProcessID{}, faults.ErrNotRunning
	}
	return s.PID, nil
}

func (w *world) Signal(_ context.Context, id faults.ProcessID, sig string) error {
	s := w.load()
	if s.State == "dead" || s.PID != id {
		return faults.ErrNotRunning
	}
	if !w.deaf {
		s.State = map[string]string{"KILL": "dead", "STOP": "stopped", "CONT": "running"}[sig]
		w.save(s)
	}
	return nil
}

func (w *world) Start(context.Context) error {
	if s := w.load(); s.State == "dead" {
		s.PID.Start++
		s.State = "running"
		w.save(s)
	}
	return nil
}

func (w *world) State(_ context.Context, id faults.ProcessID) (string, error) {
	s := w.load()
	if s.PID != id {
		return "dead", nil
	}
	return s.State, nil
}

// snapshot is what must be the same before and after: stages, whether the
// service runs, messages held.
func (w *world) snapshot(t *testing.T) string {
	t.Helper()
	s := w.load()
	var ids []string
	for id := range s.Stages {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return fmt.Sprintf("stages [%s], process %s, %d messages", strings.Join(ids, " "), s.State, messages(t, w.url))
}

// startBroker runs a real broker with a stream and a consumer that is given
// every message and acknowledges none.
func startBroker(t *testing.T) string {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(10*time.Second))
	conn, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
	require.NoError(t, err)
	c, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "mailer", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	use, err := c.Consume(func(jetstream.Msg) {})
	require.NoError(t, err)
	t.Cleanup(use.Stop)
	return s.ClientURL()
}

func messages(t *testing.T, url string) uint64 {
	t.Helper()
	if url == "" {
		return 0
	}
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	s, err := js.Stream(t.Context(), "ORDERS")
	require.NoError(t, err)
	return s.CachedInfo().State.Msgs
}
