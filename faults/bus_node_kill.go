package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// BusNodeKillParams are the parameters of bus-node-kill.
type BusNodeKillParams struct {
	Stream string `yaml:"stream" doc:"The node that leads this stream; without it, the one that leads the cluster."`
	Role   string `yaml:"role" spec:"default=leader,enum=leader|follower" doc:"The leader, or a follower: of the stream's other nodes the first by name."`
}

// busNodeKill kills one node of a broker. It is aimed at every node; the parts
// for those that are not meant do nothing.
type busNodeKill struct {
	BusNodeKillParams
	kill *signalFault // nil: this node is not meant
}

func newBusNodeKill(decode func(any) error) (Fault, error) {
	f := &busNodeKill{}
	if err := decode(&f.BusNodeKillParams); err != nil {
		return nil, err
	}
	if strings.ContainsAny(f.Stream, ".*> \t\r\n") {
		return nil, fmt.Errorf("%q is no name of a stream", f.Stream)
	}
	if f.Stream == "" && f.Role == "follower" {
		return nil, errors.New("role follower needs a stream")
	}
	return f, nil
}

// Describe says the parameters in words.
func (f *busNodeKill) Describe() string {
	what := "the cluster"
	if f.Stream != "" {
		what = "stream " + f.Stream
	}
	return "SIGKILL to the " + f.Role + " of " + what
}

// Prepare asks the broker who is meant. Nodes have the names of their services.
func (f *busNodeKill) Prepare(ctx context.Context, x Injection) (json.RawMessage, error) {
	name, err := f.meant(ctx, x)
	if err != nil {
		return nil, err
	}
	if name != x.Target.Name() {
		return json.RawMessage(`{}`), nil
	}
	f.kill = newSIGKILL()
	return f.kill.Prepare(ctx, x)
}

func (f *busNodeKill) meant(ctx context.Context, x Injection) (name string, err error) {
	err = withBus(ctx, x.Target, func(ctx context.Context, js jetstream.JetStream) error {
		if f.Stream == "" {
			name, err = metaLeader(ctx, js)
			return err
		}
		s, err := js.Stream(ctx, f.Stream)
		if err != nil {
			return fmt.Errorf("stream %s: %w", f.Stream, err)
		}
		c := s.CachedInfo().Cluster
		if c == nil || c.Leader == "" {
			return fmt.Errorf("stream %s has no leader", f.Stream)
		}
		name = c.Leader
		if f.Role == "leader" {
			return nil
		}
		var followers []string
		for _, p := range c.Replicas {
			if !p.Offline {
				followers = append(followers, p.Name)
			}
		}
		if len(followers) == 0 {
			return fmt.Errorf("stream %s has no follower", f.Stream)
		}
		name = slices.Min(followers)
		return nil
	})
	return name, err
}

// metaLeader finds the server that leads the cluster's metadata. It alone
// answers when asked for the names of streams, and each answer is announced with
// the name of the server that gave it.
func metaLeader(ctx context.Context, js jetstream.JetStream) (string, error) {
	const ask = "$JS.API.STREAM.NAMES"
	conn := js.Conn()
	told, err := conn.SubscribeSync("$JS.EVENT.ADVISORY.API")
	if err != nil {
		return "", err
	}
	defer told.Unsubscribe() // fails only when the connection is gone
	if err := conn.FlushWithContext(ctx); err != nil {
		return "", err
	}
	id := nats.NewInbox()
	if _, err := conn.RequestWithContext(ctx, ask, fmt.Appendf(nil, `{"subject":%q}`, id)); err != nil {
		return "", fmt.Errorf("ask who leads the cluster: %w", err)
	}
	for {
		m, err := told.NextMsgWithContext(ctx)
		if err != nil {
			return "", fmt.Errorf("learn who leads the cluster: %w", err)
		}
		var a struct {
			Server, Subject, Request string
		}
		if json.Unmarshal(m.Data, &a) == nil && a.Subject == ask && strings.Contains(a.Request, id) {
			return a.Server, nil
		}
	}
}

// Inject kills the node that is meant.
func (f *busNodeKill) Inject(ctx context.Context, x Injection) error {
	if f.kill == nil {
		return nil
	}
	return f.kill.Inject(ctx, x)
}

// Observe looks at the node that was hit.
func (f *busNodeKill) Observe(ctx context.Context, x Injection) (Evidence, error) {
	if f.kill == nil {
		return Evidence{}, nil
	}
	e, err := f.kill.Observe(ctx, x)
	if len(e.Receipt.Items) > 0 {
		e.Receipt.Items[0] = x.Target.Name() + " " + e.Receipt.Items[0]
	}
	return e, err
}

// revertNodeKill starts the node again, if it is the one that was killed.
func revertNodeKill(ctx context.Context, x Injection, undo json.RawMessage) error {
	_, id, err := readProcessUndo(x, undo)
	if err != nil || id == (ProcessID{}) {
		return err
	}
	return revertKill(ctx, x, undo)
}

func init() {
	builtin(Kind{
		Name:    "bus-node-kill",
		Summary: "kills the node of a broker that leads a stream or the cluster",
		Needs:   NeedsBusNode,
		Whole:   "a process is hit or it is not",
		Params:  BusNodeKillParams{},
		Doc: `Aimed at the service that the nodes of a NATS cluster are: which of them is meant is asked of JetStream right before, and
that one gets SIGKILL. The servers must bear the names of their services. It stays dead while the fault stands.
Receipt: the process, seen dead, with the node's name. Undo: the node is started again with the same data, and is seen ready;
the supervisor starts it as well when the lease runs out.`,
		New:    newBusNodeKill,
		Revert: revertNodeKill,
	})
}
