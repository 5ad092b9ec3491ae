package proxy

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"squall/faults"
)

const unaryCall = "/grpc.testing.TestService/UnaryCall"

// grpcService answers as it is asked, with metadata before and after.
type grpcService struct {
	pb.UnimplementedTestServiceServer
	unary atomic.Int64
}

func (s *grpcService) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	s.unary.Add(1)
	if e := in.ResponseStatus; e != nil {
		return nil, status.Error(codes.Code(e.Code), e.Message)
	}
	grpc.SetHeader(ctx, metadata.Pairs("x-head", "h"))
	grpc.SetTrailer(ctx, metadata.Pairs("x-trail", "t"))
	return &pb.SimpleResponse{Payload: in.Payload}, nil
}

func (s *grpcService) FullDuplexCall(stream grpc.BidiStreamingServer[pb.StreamingOutputCallRequest, pb.StreamingOutputCallResponse]) error {
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&pb.StreamingOutputCallResponse{Payload: in.Payload}); err != nil {
			return err
		}
	}
}

// grpcRig proxies a gRPC server and returns a client of it.
func grpcRig(t *testing.T) (*rig, pb.TestServiceClient, *grpcService, *grpc.Server) {
	t.Helper()
	service, server := &grpcService{}, grpc.NewServer()
	pb.RegisterTestServiceServer(server, service)
	nl, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(nl) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	r := newRig(t, ProtocolGRPC, nl.Addr().String(), Options{})
	conn, err := grpc.NewClient(r.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return r, pb.NewTestServiceClient(conn), service, server
}

func (r *rig) call(c pb.TestServiceClient, body string) error {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 10*time.Second)
	defer cancel()
	got, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: []byte(body)}})
	if err == nil {
		assert.Equal(r.t, body, string(got.Payload.Body))
	}
	return err
}

func TestGRPCThroughProxy(t *testing.T) {
	r, c, _, _ := grpcRig(t)
	next := r.wire()
	ctx := metadata.AppendToOutgoingContext(r.ctx, "x-request-id", "op-1", "idempotency-key", "k")
	var head, trail metadata.MD
	_, err := c.UnaryCall(ctx, &pb.SimpleRequest{Payload: &pb.Payload{Body: make([]byte, 1<<20)}}, grpc.Header(&head), grpc.Trailer(&trail))
	require.NoError(t, err)
	assert.Equal(t, []string{"h"}, head["x-head"])
	assert.Equal(t, []string{"t"}, trail["x-trail"])
	e := next()
	assert.Greater(t, e.In, int64(1<<20))
	assert.Greater(t, e.Out, int64(1<<20))
	assert.Positive(t, e.Dur)
	e.At, e.Dur, e.In, e.Out = 0, 0, 0, 0
	assert.Equal(t, Exchange{Edge: "a -> b", Conn: 1, N: 1, Method: "POST", Path: unaryCall, Status: 200, Code: "OK",
		Op: "op-1", Key: "k", Sent: true}, e)

	_, err = c.UnaryCall(r.ctx, &pb.SimpleRequest{ResponseStatus: &pb.EchoStatus{Code: int32(codes.NotFound), Message: "no such thing"}})
	assert.Equal(t, codes.NotFound, status.Code(err))
	assert.ErrorContains(t, err, "no such thing")
	e = next()
	assert.Equal(t, "NOT_FOUND", e.Code)
	assert.EqualValues(t, 1, e.Conn, "on the same connection")
}

func TestGRPCStreams(t *testing.T) {
	r, c, _, _ := grpcRig(t)
	next := r.wire()
	stream, err := c.FullDuplexCall(r.ctx)
	require.NoError(t, err)
	for _, text := range []string{"one", "two", "three"} { // each answer is there before the next is sent
		require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte(text)}}))
		got, err := stream.Recv()
		require.NoError(t, err)
		assert.Equal(t, text, string(got.Payload.Body))
	}
	require.NoError(t, stream.CloseSend())
	_, err = stream.Recv()
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, "OK", next().Code)
}

func TestGRPCError(t *testing.T) {
	r, c, service, _ := grpcRig(t)
	next := r.wire()
	r.put("e", faults.Stage{Match: faults.Match{Path: "/grpc.testing.TestService/*", First: 2}, HTTP: &faults.HTTPRule{
		Action: faults.HTTPStatus, Status: 200, GRPC: &faults.GRPCStatus{Code: uint32(codes.Unavailable), Message: "50% übel"},
	}})
	for range 2 {
		err := r.call(c, "x")
		assert.Equal(t, codes.Unavailable, status.Code(err))
		assert.ErrorContains(t, err, "50% übel")
	}
	assert.Zero(t, service.unary.Load(), "what the proxy answers is not forwarded")
	require.NoError(t, r.call(c, "x"))
	first, second, third := next(), next(), next()
	assert.Equal(t, []Act{{"e", 1, "grpc UNAVAILABLE"}}, first.Acts)
	assert.Equal(t, "UNAVAILABLE", first.Code)
	assert.False(t, first.Sent)
	assert.Equal(t, []Act{{"e", 2, "grpc UNAVAILABLE"}}, second.Acts)
	assert.Empty(t, third.Acts)
	assert.True(t, third.Sent)
	assert.EqualValues(t, 2, r.status("e").Receipt.Hits)
}

func TestGRPCDelayIsOfTheCallAlone(t *testing.T) {
	r, c, _, _ := grpcRig(t)
	r.put("d", faults.Stage{Match: faults.Match{First: 1}, HTTP: &faults.HTTPRule{Action: faults.HTTPDelay, Delay: time.Minute}})
	slow := make(chan error, 1)
	go func() { slow <- r.call(c, "slow") }()
	eventually(t, func() bool { return r.status("d").Receipt.Hits == 1 }, "the call waits")
	require.NoError(t, r.call(c, "fast"))
	r.remove("d")
	assert.NoError(t, <-slow)
}

func TestGRPCUnderToxicsAndCuts(t *testing.T) {
	r, c, _, server := grpcRig(t)
	require.NoError(t, r.call(c, "x"))
	r.put("lat", latency("50"))
	start := time.Now()
	require.NoError(t, r.call(c, "x"))
	assert.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
	r.remove("lat")

	next := r.wire()
	stream, err := c.FullDuplexCall(r.ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{}))
	_, err = stream.Recv()
	require.NoError(t, err)
	r.put("cut", faults.Stage{Reset: true})
	_, err = stream.Recv()
	assert.Equal(t, codes.Unavailable, status.Code(err))
	assert.EqualValues(t, 1, r.status("cut").Receipt.Hits)
	r.remove("cut")
	e := next()
	assert.Equal(t, "reset", e.Error)
	assert.Equal(t, "cut", e.Fault)
	require.Eventually(t, func() bool { return r.call(c, "again") == nil }, 10*time.Second, time.Millisecond)

	server.Stop()
	assert.Equal(t, codes.Unavailable, status.Code(r.call(c, "x")))
}

func TestCallerLeavesGRPC(t *testing.T) {
	r, c, _, _ := grpcRig(t)
	next := r.wire()
	ctx, cancel := context.WithCancel(r.ctx)
	stream, err := c.FullDuplexCall(ctx)
	require.NoError(t, err)
	require.NoError(t, stream.Send(&pb.StreamingOutputCallRequest{}))
	_, err = stream.Recv()
	require.NoError(t, err)
	cancel()
	assert.Equal(t, "caller-left", next().Error)
	require.NoError(t, r.call(c, "the connection goes on"))
	assert.EqualValues(t, 1, next().Conn)
}

// What is no HTTP/2 passes as it is.
func TestGRPCEdgePassesOtherProtocols(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/1.1\r\n", "\x16\x03"} {
		r := newRig(t, ProtocolGRPC, tcpServer(t, echo), Options{})
		nc := r.dial()
		roundTrip(t, nc, text)
		roundTrip(t, nc, "more")
	}
}
