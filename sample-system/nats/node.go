// Package nats is one node of the bus: an embedded NATS server with JetStream.
// Three of them hold every stream three times, so that one may die.
package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"squall/sample-system/internal/service"
)

// Setup runs a node: NATS_CLIENT and NATS_CLUSTER are the host:port it listens
// on, NATS_ROUTES the comma-separated nats://host:port of all nodes.
func Setup(_ context.Context, h *service.Host) error {
	opts, err := options(h.Config)
	if err != nil {
		return err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("create nats server: %w", err)
	}
	ns.SetLoggerV2(logger{h.Logger}, false, false, false)
	h.ReadyWhen(func() error { return ready(ns) })
	h.GaugeFunc("nats_client_connections", "Clients connected to this node.", nil, func() float64 { return float64(ns.NumClients()) })
	h.GaugeFunc("nats_meta_leader", "1 on the node that leads the cluster's metadata.", nil, func() float64 {
		if ns.JetStreamIsLeader() {
			return 1
		}
		return 0
	})
	h.Go("nats", func(ctx context.Context) error {
		ns.Start()
		<-ctx.Done()
		ns.Shutdown()
		ns.WaitForShutdown()
		return nil
	})
	return nil
}

func options(cfg service.Config) (*server.Options, error) {
	dir, err := cfg.DataDir()
	if err != nil {
		return nil, err
	}
	client, err := address(cfg, "NATS_CLIENT")
	if err != nil {
		return nil, err
	}
	cluster, err := address(cfg, "NATS_CLUSTER")
	if err != nil {
		return nil, err
	}
	routes, err := routes(cfg)
	if err != nil {
		return nil, err
	}
	return &server.Options{
		ServerName: cfg.Name,
		Host:       client.host, Port: client.port,
		JetStream:              true,
		StoreDir:               dir,
		JetStreamMaxMemory:     64 << 20,
		JetStreamMaxStore:      1 << 30,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // SIGTERM is the host's
		MaxPayload:             256 << 10,
		WriteDeadline:          2 * time.Second,
		Routes:                 routes,
		Cluster: server.ClusterOpts{
			Name: "shop", Host: cluster.host, Port: cluster.port,
			NoAdvertise: true, // clients stay on the addresses they were given
			PoolSize:    -1,   // one connection per pair of nodes is plenty
			// a hung node must be noticed well within the 4 s of a raft election
			PingInterval: time.Second, MaxPingsOut: 3,
		},
	}, nil
}

type hostPort struct {
	host string
	port int
}

func address(cfg service.Config, variable string) (hostPort, error) {
	host, port, err := net.SplitHostPort(cfg.Getenv(variable))
	if err != nil {
		return hostPort{}, fmt.Errorf("configure %s: %s: %w, want host:port", cfg.Name, variable, err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return hostPort{}, fmt.Errorf("configure %s: %s: %w", cfg.Name, variable, err)
	}
	return hostPort{host, n}, nil
}

func routes(cfg service.Config) ([]*url.URL, error) {
	var urls []*url.URL
	for route := range strings.SplitSeq(cfg.Getenv("NATS_ROUTES"), ",") {
		u, err := url.Parse(strings.TrimSpace(route))
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("configure %s: NATS_ROUTES: cannot use %q, want nats://host:port", cfg.Name, route)
		}
		urls = append(urls, u)
	}
	return urls, nil
}

// ready wants a leader of the cluster's metadata that this node is up to date
// with; before that no stream can be created.
func ready(ns *server.Server) error {
	if !ns.JetStreamEnabled() {
		return errors.New("jetstream is not enabled yet")
	}
	status := ns.Healthz(&server.HealthzOptions{JSMetaOnly: true})
	if status.StatusCode != 200 {
		return errors.New(status.Error)
	}
	return nil
}
