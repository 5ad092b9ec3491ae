package inject

import (
	"context"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	grpcstatus "google.golang.org/grpc/status"
)

func init() {
	slow := slower(75 * time.Millisecond)
	other := func(x exchange) bool { return x.err == nil && x.body != "fine" }
	twice := func(x exchange) bool { return x.err == nil && x.body == "2" }
	conform(entry{kind: "http-error", on: "client -> web", caller: web, hit: status(503), receipt: uses})
	conform(entry{kind: "http-lose-reply", on: "client -> web", caller: web, hit: failed, receipt: uses})
	conform(entry{kind: "http-delay", on: "client -> web", params: map[string]any{"latency": "80ms"}, caller: web, hit: slow, receipt: uses})
	conform(entry{kind: "http-abort", on: "client -> web", caller: web, hit: failed, receipt: uses})
	conform(entry{kind: "http-truncate", on: "client -> web", params: map[string]any{"bytes": "1B"}, caller: web, hit: failed, receipt: uses})
	conform(entry{kind: "http-corrupt", on: "client -> web", caller: web, hit: other, receipt: uses})
	conform(entry{kind: "http-duplicate", on: "client -> web", params: map[string]any{"path": "/pay"}, caller: payer, hit: twice, receipt: uses})
	// What passes first is the one token that a bucket must be able to hold.
	conform(entry{kind: "http-rate-limit", on: "client -> web", params: map[string]any{"rate": "0.001/s"}, caller: web, hit: status(429), receipt: uses, sometimes: true})
	conform(entry{kind: "grpc-error", on: "client -> rpc", caller: rpc, hit: status(int(codes.Unavailable)), receipt: uses})
	conform(entry{kind: "grpc-delay", on: "client -> rpc", params: map[string]any{"latency": "80ms"}, caller: rpc, hit: slow, receipt: uses})
}

// payCaller pays, and asks on the same connection how often that was done.
type payCaller struct{ pay, paid *webCaller }

func payer(l *lab) caller {
	addr := strings.TrimPrefix(l.env.ClientEnv()["WEB"], "http://")
	return &payCaller{&webCaller{socket{addr: addr}, "POST", "/pay"}, &webCaller{socket{addr: addr}, "GET", "/paid"}}
}

func (c *payCaller) use() exchange {
	x := c.pay.use()
	if x.err != nil {
		return x
	}
	c.paid.socket = c.pay.socket
	after := c.paid.use()
	c.pay.socket = c.paid.socket
	x.err, x.body, x.took = after.err, after.body, time.Since(x.began)
	return x
}

func (c *payCaller) close() { c.pay.close() }

// rpcCaller asks a gRPC service how it is. Its connection is its channel's.
type rpcCaller struct {
	addr string
	made int
	conn *grpc.ClientConn
}

func rpc(l *lab) caller {
	c := &rpcCaller{addr: l.env.ClientEnv()["RPC"]}
	if c.dial() == nil { // so that the first use is on a live connection, as all are
		c.conn.Connect()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		for s := c.conn.GetState(); s != connectivity.Ready && c.conn.WaitForStateChange(ctx, s); s = c.conn.GetState() {
		}
	}
	return c
}

func (c *rpcCaller) dial() (err error) {
	c.made++
	c.conn, err = grpc.NewClient(c.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	return err
}

func (c *rpcCaller) use() exchange {
	x := exchange{began: time.Now()}
	if c.conn == nil {
		x.err = c.dial()
	}
	x.conn = c.made
	if x.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), callWithin)
		defer cancel()
		_, err := grpc_health_v1.NewHealthClient(c.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		x.status = int(grpcstatus.Code(err))
	}
	x.took = time.Since(x.began)
	if x.err != nil {
		c.close()
	}
	return x
}

func (c *rpcCaller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
	c.conn = nil
}

// roleRPC is a gRPC service that is well.
func roleRPC(args []string) error {
	in, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	s := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	return s.Serve(in)
}
