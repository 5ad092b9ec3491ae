package lint

import (
	"reflect"
	"slices"

	"squall/faults"
)

func init() {
	builtin(Rule{
		Name:    "per-connection",
		Summary: "A share of connections, where requests share few of them, is all or nothing.",
		Doc: `Faults of the network draw their probability once per connection. Clients of HTTP keep connections
alive, brokers and databases are spoken to over a few that last: a share of 10 % then hits no request or every one,
as the seed has it. Use the kind of the protocol, which draws per request (http-delay, http-error, grpc-error,
bus-drop-ack), or count with first and every.`,
		find: perConnection,
	})
}

func perConnection(c *Case) {
	for _, f := range c.Scenario.Spec.Faults {
		kind, err := faults.Builtin().Kind(f.Kind)
		if err != nil || kind.Params == nil {
			continue
		}
		if _, draws := reflect.TypeOf(kind.Params).FieldByName("ConnParams"); !draws {
			continue
		}
		share := f.Params.Get("probability")
		var ratio faults.Ratio
		if share.Value() == "" || ratio.FromScalar(share.Value()) != nil || ratio >= 1 {
			continue
		}
		for _, e := range c.System.EdgesNamed(f.On) {
			if slices.Contains([]string{"http", "grpc", "nats", "postgres"}, e.Protocol) {
				c.report(share.Pos(), "%s draws per connection, and %s keeps its connections: %s of them is all requests or none", f.Kind, c.System.EdgeOf(e.Name()), share.Value())
				break
			}
		}
	}
}
