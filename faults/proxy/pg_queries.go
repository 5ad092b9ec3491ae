package proxy

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

const (
	pgText        = 256  // bytes of a statement that are looked at
	maxPGPrepared = 4096 // statements a connection remembers
)

// pgQueries follows the queries of one connection: each is answered, whatever
// becomes of it, by exactly one ReadyForQuery, in order.
type pgQueries struct {
	prepared map[string]string // first bytes of statements by name; used by the direction up alone
	bound    string            // statement of the last Bind
	executed []string          // statements executed since the last query

	mu       sync.Mutex
	asked    uint64 // queries begun; the start of the session is number 0
	answered uint64
	held     []pgHeld // by number
}

// pgHeld is a query whose answer a stage holds.
type pgHeld struct {
	n     uint64
	stage *stage
}

// heed looks at a message to the server, of which body is at least the start.
// It tells whether that makes a query complete.
func (q *pgQueries) heed(kind byte, body []byte) (query bool) {
	switch kind {
	case 'P': // Parse: name, statement
		name, rest, _ := bytes.Cut(body, []byte{0})
		statement, _, _ := bytes.Cut(rest, []byte{0})
		if len(q.prepared) >= maxPGPrepared {
			clear(q.prepared)
		}
		q.prepared[string(name)] = string(statement[:min(len(statement), pgText)])
	case 'B': // Bind: portal, name
		_, rest, _ := bytes.Cut(body, []byte{0})
		name, _, _ := bytes.Cut(rest, []byte{0})
		q.bound = q.prepared[string(name)]
	case 'E': // Execute
		q.executed = append(q.executed, q.bound)
	case 'Q': // Query
		statement, _, _ := bytes.Cut(body, []byte{0})
		q.executed = append(q.executed, string(statement))
		return true
	case 'S', 'F': // Sync, FunctionCall
		return true
	}
	return false
}

// begun numbers the query that is complete now, which stages then hold.
func (q *pgQueries) begun(holds []*stage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked++
	for _, st := range holds {
		q.held = append(q.held, pgHeld{q.asked, st})
	}
	q.executed = q.executed[:0]
}

// executes tells whether a statement of the query begins like that.
func (q *pgQueries) executes(prefix string) bool {
	for _, s := range q.executed {
		if s = strings.TrimSpace(s); len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			return true
		}
	}
	return prefix == ""
}

// ready says that the server is ready for the next query.
func (q *pgQueries) ready() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.answered++
}

// holds returns a stage that holds the answer which comes now; nil: none.
func (q *pgQueries) holds() *stage {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.held) > 0 && (q.held[0].n < q.answered || q.held[0].stage.gone()) {
		q.held = q.held[1:]
	}
	if len(q.held) == 0 || q.held[0].n > q.answered {
		return nil
	}
	return q.held[0].stage
}

// decide asks all rules about the query that is complete now.
func (p *pgConn) decide(s *setting) (holds []*stage) {
	var acts []Act
	for _, st := range s.holds {
		if !st.awake() || !p.q.executes(st.Query.Statement) {
			continue
		}
		if n, hit := st.takes(); hit {
			st.hit(1)
			acts, holds = append(acts, Act{st.id, n, st.act()}), append(holds, st)
		}
	}
	if len(acts) > 0 {
		p.link.log(&Exchange{
			At: time.Now().UnixNano(), Edge: p.link.edge, Conn: p.id, N: p.link.requests.Add(1),
			Method: "QUERY", Sent: true, Fault: acts[0].Stage, Acts: append(p.acts(), acts...),
		})
	}
	return holds
}
