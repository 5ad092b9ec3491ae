// Three nodes.
//
// Answers: a node of the bus that dies, or its disk. Each stream is kept three
// times, and a message is acknowledged when two have it; so any one may go, and
// reading and writing go on.
// Numbers: three is the least of which a majority is left when one goes. A hung
// node is noticed after 3 s, within the 4 s of a raft election. 256 KB per
// message, 1 GB of streams, 64 MB of memory: far more than the shop needs, and
// less than the machine has.
// Costs: each write goes over the network twice and is stored three times.
// When a leader dies its streams pause until there is another, 4 to 9 s.
// Breaks without it: TestThreeNodes. No off switch.

package nats

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"squall/sample-system/internal/service"
)

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
		StoreDir:               filepath.Join(dir, cfg.Name), // the folder is shared by the nodes
		JetStreamMaxMemory:     64 << 20,
		JetStreamMaxStore:      1 << 30,
		DisableJetStreamBanner: true,
		NoSigs:                 true, // SIGTERM is the host's
		MaxPayload:             256 << 10,
		WriteDeadline:          2 * time.Second,
		Routes:                 routes,
		Cluster: server.ClusterOpts{
			Name: "shop", Host: cluster.host, Port: cluster.port,
			NoAdvertise:  true, // clients stay on the addresses they were given
			PoolSize:     -1,   // one connection per pair of nodes is plenty
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
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return hostPort{}, fmt.Errorf("configure %s: %s: %w", cfg.Name, variable, err)
	}
	return hostPort{host, int(n)}, nil
}

func routes(cfg service.Config) ([]*url.URL, error) {
	var urls []*url.URL
	for route := range strings.SplitSeq(cfg.Getenv("NATS_ROUTES"), ",") {
		hostPort := strings.TrimPrefix(strings.TrimSpace(route), "nats://")
		if _, _, err := net.SplitHostPort(hostPort); err != nil {
			return nil, fmt.Errorf("configure %s: NATS_ROUTES: cannot use %q, want host:port[,host:port...]: %w", cfg.Name, route, err)
		}
		urls = append(urls, &url.URL{Scheme: "nats", Host: hostPort})
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
