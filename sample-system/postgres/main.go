// Package postgres is one node of the database: an agent around a PostgreSQL
// server, Patroni in small. Two of them are a primary and its standby.
//
// The mechanisms: record.go (who is primary, under a lease), fence.go (a former
// primary stops), failover.go (the standby takes over), sync.go (no acknowledged
// write is lost), rejoin.go (a former primary becomes standby).
package postgres

import (
	"context"

	"squall/sample-system/internal/bus"
	"squall/sample-system/internal/service"
)

// Setup runs a node. PG_LISTEN is the host:port of its server, PG_NODES the
// ways to the servers of both nodes, in the order of their numbers; SHOP_NAME
// ends with the node's own, "postgres-2". PG_FSYNC=off is for tests.
func Setup(_ context.Context, h *service.Host) error {
	cfg, err := configure(h.Config)
	if err != nil {
		return err
	}
	nats, err := bus.Connect(h)
	if err != nil {
		return err
	}
	a, err := newAgent(h, cfg, nats)
	if err != nil {
		return err
	}
	h.Check("postgres", true, a.ready)
	h.HandleOps("GET /audit/terms", a.handleTerms)
	for _, role := range []mode{primary, standby} {
		h.GaugeFunc("pg_role", "1 for what the server of this node is now.", map[string]string{"role": string(role)},
			func() float64 { return number(a.node.mode() == role) })
	}
	h.GaugeFunc("pg_replication_in_sync", "1 while the standby has every acknowledged write, and so may take over.", nil,
		func() float64 { return number(a.record.inSync()) })
	h.GaugeFunc("pg_term", "Number of the present primary's time in office; 0 if unknown.", nil,
		func() float64 { return float64(a.record.now().Term) })
	h.Go("fence", a.fence)
	h.Go("agent", a.run)
	return nil
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
