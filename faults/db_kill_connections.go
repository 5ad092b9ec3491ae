package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// DBKillConnectionsParams are the parameters of db-kill-connections. All that is
// given must hold.
type DBKillConnectionsParams struct {
	From        int    `yaml:"from" spec:"min=0" doc:"Only from the nth connection of each link on, oldest first; first and every count from there."`
	First       int    `yaml:"first" spec:"min=0" doc:"Only the first n connections of each link."`
	Every       int    `yaml:"every" spec:"min=0" doc:"Only every nth connection of each link."`
	Probability *Ratio `yaml:"probability" doc:"Only this share of the connections, drawn per connection from the seed."`
}

// killConnections ends sessions once; there is nothing to undo.
type killConnections struct {
	says  string
	match Match
	ended []int32
	at    time.Time
}

func newKillConnections(decode func(any) error) (Fault, error) {
	var p DBKillConnectionsParams
	if err := decode(&p); err != nil {
		return nil, err
	}
	f := &killConnections{says: "sessions of the edge ended by the server"}
	words, err := chooseUnits(&f.match, "connection", ConnParams(p))
	if err != nil {
		return nil, err
	}
	if p != (DBKillConnectionsParams{}) {
		f.says += ": " + words
	}
	return f, nil
}

// Describe says the parameters in words.
func (f *killConnections) Describe() string { return f.says }

// Prepare sees that the server can be asked.
func (f *killConnections) Prepare(ctx context.Context, x Injection) (json.RawMessage, error) {
	err := withDatabase(ctx, x.Target, func(ctx context.Context, conn *pgx.Conn) error { return conn.Ping(ctx) })
	return json.RawMessage(`{}`), err
}

// Inject ends the sessions whose connections come from the proxy of this edge.
func (f *killConnections) Inject(ctx context.Context, x Injection) error {
	db, err := databaseOf(x.Target)
	if err != nil {
		return err
	}
	sources, err := db.Sources(ctx)
	if err != nil {
		return err
	}
	var from []string
	for i, s := range sources {
		if f.chosen(x, uint64(i)+1) {
			from = append(from, fmt.Sprintf("%s %d", s.Addr().Unmap(), s.Port()))
		}
	}
	return withDatabase(ctx, x.Target, func(ctx context.Context, conn *pgx.Conn) error {
		f.at = time.Now()
		f.ended, err = endSessions(ctx, conn, `host(client_addr) || ' ' || client_port = ANY($1)`, from)
		return err
	})
}

// chosen tells whether the nth connection of the link is to be ended.
func (f *killConnections) chosen(x Injection, n uint64) bool {
	if !f.match.Counts(n) {
		return false
	}
	link := fnv.New64a()
	link.Write([]byte(x.Target.Name()))
	chance := rand.New(rand.NewPCG(x.Seed^link.Sum64(), n)).Float64()
	return f.match.Probability == 0 || chance < f.match.Probability
}

// Observe tells what was done; that it is done for good was seen when it was.
func (f *killConnections) Observe(context.Context, Injection) (Evidence, error) {
	if len(f.ended) == 0 {
		return Evidence{}, nil
	}
	r := Receipt{Hits: uint64(len(f.ended)), Unit: "connections", First: f.at, Last: f.at, Note: "seen gone from pg_stat_activity"}
	for _, pid := range f.ended[:min(len(f.ended), 50)] {
		r.Items = append(r.Items, fmt.Sprintf("backend %d", pid))
	}
	return Evidence{Receipt: r}, nil
}

func init() {
	builtin(Kind{
		Name:    "db-kill-connections",
		Summary: "the server ends all sessions of an edge",
		Needs:   NeedsDatabase,
		Unit:    "connection",
		Params:  DBKillConnectionsParams{},

		Transient: true, // done once
		Doc: `As a database administrator or a failover does: pg_terminate_backend for each session whose connection comes from the
proxy of this edge at that moment, or for those that are chosen, and for no other. Their transactions are rolled back; new connections work at once.
Receipt: connections ended, with the process ids of their backends. Undo: there is none, callers connect again.`,
		New:    newKillConnections,
		Revert: func(context.Context, Injection, json.RawMessage) error { return nil },
	})
}
